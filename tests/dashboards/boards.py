"""The four dashboards, from "is it bad?" down to "which process is it?".

Knows nothing of what they ask.
"""

from __future__ import annotations

from tests.dashboards.flows import FLOWS
from tests.dashboards.internals import INTERNALS
from tests.dashboards.overview import OVERVIEW
from tests.dashboards.provider import PROVIDER

BOARDS = (OVERVIEW, FLOWS, PROVIDER, INTERNALS)
