"""Dashboards as Grafana's JSON, by grafana-foundation-sdk.

Knows nothing of what is asked; that stands in boards.py.
"""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)

from tests.dashboards.boards import BOARDS
from tests.dashboards.model import FIGURE_WIDTH, WIDTH, Dashboard, Panel

FOLDER = Path(__file__).parents[2] / "deploy/grafana/dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "call-dispatcher"


def files() -> dict[Path, str]:
    """Each dashboard's file and what belongs into it."""
    return {FOLDER / f"{board.name}.json": rendered(board) for board in BOARDS}


def rendered(board: Dashboard) -> str:
    """JSON with sorted keys, so that a change is read as one."""
    page = (
        dashboard.Dashboard(board.title)
        .uid(f"{TAG}-{board.name}")
        .tags([TAG])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(dashboard.DashboardLink("call-dispatcher").tags([TAG]).keep_time(keep_time=True))
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus"))
        .with_variable(_choice("namespace"))
        .with_variable(_choice("job"))
    )
    for title, panels in board.rows.items():
        page.with_row(dashboard.Row(title))
        for panel in panels:
            page.with_panel((_figure if panel.figure else _graph)(panel))
    encoded = JSONEncoder(sort_keys=True).encode(page.build())
    return json.dumps(_numbered(json.loads(encoded)), indent=1, sort_keys=True) + "\n"


def _numbered(page: dict[str, object]) -> dict[str, object]:
    """With an id for each row and panel, which the library leaves out."""
    panels = page["panels"]
    assert isinstance(panels, list)
    for number, panel in enumerate(panels, start=1):
        panel["id"] = number
    return page


def _choice(label: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(label)
        .datasource(SOURCE)
        .query(f"label_values(dispatcher_build_info, {label})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(multi=True)
        .include_all(include_all=True)
        # Also where the label is not there at all, as outside Kubernetes.
        .all_value(".*")
    )


def _targets(panel: Panel) -> list[prometheus.Dataquery]:
    asked = zip(panel.queries, panel.expressions, strict=True)
    return [
        prometheus.Dataquery().expr(text).legend_format(legend).ref_id(chr(ord("A") + number))
        for number, (legend, text) in enumerate(asked)
    ]


def _graph(panel: Panel) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
    )
    drawn = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.meaning)
        .datasource(SOURCE)
        .unit(panel.unit)
        .min(0)
        .span(WIDTH)
        .height(8)
        .legend(legend)
    )
    for target in _targets(panel):
        drawn.with_target(target)
    return drawn


def _figure(panel: Panel) -> stat.Panel:
    drawn = (
        stat.Panel()
        .title(panel.title)
        .description(panel.meaning)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(FIGURE_WIDTH)
        .height(4)
    )
    if panel.red_from is not None:
        steps = [Threshold(value=None, color="green"), Threshold(panel.red_from, "red")]
        drawn.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    for target in _targets(panel):
        drawn.with_target(target)
    return drawn
