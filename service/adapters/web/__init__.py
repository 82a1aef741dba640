"""The HTTP side: what is seen from outside, the operators' page, and commands.

Laws: reading changes nothing and costs the lanes nothing; whatever changes something, or looks for
single calls, needs the token; no answer is cached, framed, or holds a secret.
"""

from __future__ import annotations

from service.adapters.web.control import WebControl
from service.adapters.web.letters import WebLetters
from service.adapters.web.page import WebPage
from service.adapters.web.replays import Standings, WebReplays
from service.adapters.web.samples import Samples
from service.adapters.web.server import WebServer

__all__ = ["Samples", "Standings", "WebControl", "WebLetters", "WebPage", "WebReplays", "WebServer"]
