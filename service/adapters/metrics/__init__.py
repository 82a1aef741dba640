"""The metrics page: facts become counters and histograms, state is read at each scrape.

Laws: every family of the contract is there from the start, and every label's values are a closed
set, so that no event, flow or answer of the provider can grow the page.
"""

from __future__ import annotations

from service.adapters.metrics.observer import Metrics
from service.adapters.metrics.replays import ReplayStandings

__all__ = ["Metrics", "ReplayStandings"]
