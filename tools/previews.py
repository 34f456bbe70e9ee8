"""Writes docs/images/dashboard-*.svg: what metrics/panels.py shows, asked from a Prometheus that runs.

make lab, and then: python tools/previews.py http://127.N.0.1:9090/ --seconds 120
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lab.drawing import Frame, Line, lines, number, page, states, table
from lab.series import Series, at_once, filled, over_time
from metrics.dashboard import Dashboard, Panel
from metrics.panels import DASHBOARDS

TARGET: Final = Path(__file__).parents[1] / "docs/images"
_WIDTH: Final = 1240.0
_GAP: Final = 12.0
_HEAD: Final = 66.0
_COLUMNS: Final = 24
_HEIGHTS: Final = {"stat": 130.0}
_HEIGHT: Final = 300.0


def preview(dashboard: Dashboard, url: str, *, begin: float, end: float) -> str:
    """Return a dashboard as SVG; QueryError where a query cannot be answered."""
    placed = [*_placed(dashboard.panels)]
    drawn = []
    for panel, x, y, width, height in placed:
        frame = Frame(x, y, width, height, panel.title, panel.says, begin, end, panel.unit)
        drawn.append(_panel(dashboard, panel, url, frame))
    height = max(y + height for _, _, y, _, height in placed) + _GAP
    return page(dashboard.title, dashboard.says, drawn, width=_WIDTH, height=height)


def _placed(panels: tuple[Panel, ...]) -> Iterator[tuple[Panel, float, float, float, float]]:
    """Lay panels out as tools/dashboards.py does; return each with its place and size."""
    unit = (_WIDTH - _GAP) / _COLUMNS
    column, y, tallest = 0, _HEAD, 0.0
    for panel in panels:
        if column + panel.width > _COLUMNS:
            column, y, tallest = 0, y + tallest + _GAP, 0.0
        height = _HEIGHTS.get(panel.shape, _HEIGHT)
        yield panel, _GAP + column * unit, y, panel.width * unit - _GAP, height
        column, tallest = column + panel.width, max(tallest, height)


def _panel(dashboard: Dashboard, panel: Panel, url: str, frame: Frame) -> str:
    exprs = [filled(dashboard, query) for query in panel.queries]
    if panel.shape == "stat":
        values = [at for each in at_once(url, exprs[0], at=frame.end) for _, at in each.points]
        return number(frame, values[0] if values else None)
    if panel.shape == "table":
        return _table(frame, at_once(url, exprs[0], at=frame.end))
    drawn = [
        Line(each.named(query.legend), each.points, is_limit=query.is_limit)
        for query, expr in zip(panel.queries, exprs, strict=True)
        for each in over_time(url, expr, begin=frame.begin, end=frame.end)
    ]
    return states(frame, drawn) if panel.shape == "state-timeline" else lines(frame, drawn)


def _table(frame: Frame, found: tuple[Series, ...]) -> str:
    names = [
        name
        for name in ("alertname", "severity", "release", "kind", "name", "service")
        if any(name in each.labels for each in found)
    ]
    return table(frame, names, [[each.labels.get(name, "") for name in names] for each in found])


def main() -> None:
    """Ask, draw and write all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="Prometheus of a lab: psactl lab status prints it")
    parser.add_argument("--seconds", type=float, default=120.0, help="how far back")
    asked = parser.parse_args()
    end = float(int(time.time()))
    TARGET.mkdir(exist_ok=True)
    for dashboard in DASHBOARDS:
        target = TARGET / f"dashboard-{dashboard.uid.removeprefix('psa-')}.svg"
        target.write_text(preview(dashboard, asked.url, begin=end - asked.seconds, end=end))
        print(target)


if __name__ == "__main__":
    main()
