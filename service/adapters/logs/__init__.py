"""Log lines: facts become lines with one event name each, in JSON or for the console.

Laws: nothing is logged for a single call, what could flood is bounded and counted, and no secret
and no phone number leaves through here, whoever logged it.
"""

from __future__ import annotations

from service.adapters.logs.configuration import configure_logs
from service.adapters.logs.observer import Logs
from service.adapters.logs.redaction import Redactor

__all__ = ["Logs", "Redactor", "configure_logs"]
