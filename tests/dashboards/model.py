"""What a dashboard is made of, in words of ours.

Knows nothing of Grafana (grafana.py) nor of which dashboards there are.
"""

from __future__ import annotations

from dataclasses import dataclass

SELECTOR = 'namespace=~"$namespace",job=~"$job"'
"""What `%` in a query stands for: the choices at the top of each dashboard."""
WIDTH = 8
"""Of a graph, in Grafana's columns of 24."""
FIGURE_WIDTH = 4


@dataclass(frozen=True, slots=True)
class Panel:
    """One question and its answer."""

    title: str
    meaning: str
    """What it says, and what is bad about it; shown behind the title's i."""
    unit: str
    """Grafana's name of it."""
    queries: dict[str, str]
    """Legend (with `{{label}}`) to PromQL with `%` for the choices."""
    figure: bool = False
    """One number instead of a graph."""
    red_from: float | None = None
    """A figure from which it is red."""

    @property
    def expressions(self) -> list[str]:
        """The queries as Grafana gets them."""
        return [text.replace("%", SELECTOR) for text in self.queries.values()]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of rows."""

    name: str
    """Of its file, and the end of its address."""
    title: str
    rows: dict[str, tuple[Panel, ...]]

    @property
    def panels(self) -> list[Panel]:
        """All of all rows."""
        return [panel for row in self.rows.values() for panel in row]


def quantiles(metric: str) -> dict[str, str]:
    """Median, 95th and 99th percentile of a histogram of ours."""
    rates = f"sum by (le) (rate(dispatcher_{metric}_bucket{{%}}[$__rate_interval]))"
    return {f"p{of * 100:.0f}": f"histogram_quantile({of}, {rates})" for of in (0.5, 0.95, 0.99)}


def rates(metric: str, label: str) -> dict[str, str]:
    """A counter's pace, a line for each value of `label`."""
    asked = f"sum by ({label}) (rate(dispatcher_{metric}{{%}}[$__rate_interval]))"
    return {f"{{{{{label}}}}}": asked}
