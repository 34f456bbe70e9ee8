"""The pictures of the dashboards in the documentation, and how they are drawn."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from lab.drawing import Frame, Line, lines, number, page, states, table
from metrics.dashboard import Dashboard
from metrics.panels import DASHBOARDS

IMAGES = Path(__file__).parents[2] / "docs/images"
FRAME = Frame(0, 0, 600, 300, "Share <of> errors", "5xx & refused", 1000.0, 1100.0, "percentunit")


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own


def texts(svg: str) -> list[str]:
    return [found.text or "" for found in parsed(svg).iter("{http://www.w3.org/2000/svg}text")]


def paths(svg: str) -> list[str]:
    root = parsed(svg)
    return [found.attrib["d"] for found in root.iter("{http://www.w3.org/2000/svg}path")]


def drawn(panel: str) -> str:
    return page("T", "s", [panel], width=600, height=300)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.uid)
def test_the_picture_of_a_dashboard_shows_each_of_its_panels(dashboard: Dashboard) -> None:
    svg = (IMAGES / f"dashboard-{dashboard.uid.removeprefix('psa-')}.svg").read_text()
    shown = texts(svg)
    assert [panel.title for panel in dashboard.panels if panel.title not in shown] == []
    assert dashboard.title in shown
    assert "nan" not in svg


def test_lines_have_a_legend_and_axes_with_their_unit() -> None:
    points = ((1000.0, 0.0), (1001.0, 0.05))
    shown = texts(drawn(lines(FRAME, [Line("candidate", points), Line("limit", points, is_limit=True)])))
    assert {"Share <of> errors", "5xx & refused", "candidate", "limit", "0 %", "6 %"} <= {*shown}
    assert any(each.startswith("00:1") for each in shown)


def test_a_line_is_broken_where_nothing_was_seen() -> None:
    points = ((1000.0, 1.0), (1001.0, 1.0), (1050.0, 1.0), (1051.0, 1.0))
    found = [each for each in paths(drawn(lines(FRAME, [Line("a", points)]))) if each.count("L") == 2]
    assert [each.count("M") for each in found] == [2]


def test_lines_without_a_point_say_so() -> None:
    assert "no data" in texts(drawn(lines(FRAME, [])))
    assert "no data" in texts(drawn(lines(FRAME, [Line("a", ())])))


def test_a_state_has_a_bar_for_each_time_that_it_lasted() -> None:
    watch = tuple((float(at), 1.0) for at in (1000, 1001, 1002, 1050, 1051))
    svg = drawn(states(FRAME, [Line("Watch", watch), Line("Soak", ((1010.0, 1.0),))]))
    bars = [each for each in parsed(svg).iter() if each.get("rx") == "2"]
    assert len(bars) == 3
    assert {"Watch", "Soak"} <= {*texts(svg)}


def test_a_number_is_green_where_nothing_is_wrong() -> None:
    assert drawn(number(FRAME, 0.0)).count("#2a9d4a") == 1
    assert "#2a9d4a" not in drawn(number(FRAME, 2.0))
    assert "-" in texts(drawn(number(FRAME, None)))


def test_a_table_without_rows_says_so() -> None:
    assert "none" in texts(drawn(table(FRAME, ("alertname",), [])))
    assert "PsaTargetDown" in texts(drawn(table(FRAME, ("alertname",), [("PsaTargetDown",)])))


def test_bytes_have_an_axis_of_round_numbers_with_their_unit() -> None:
    frame = Frame(0, 0, 600, 300, "Lag", "", 1000.0, 1100.0, "bytes")
    shown = texts(drawn(lines(frame, [Line("replica-1", ((1000.0, 0.0), (1001.0, 3_000_000.0)))])))
    assert {"0 B", "1.5 MiB", "3 MiB"} <= {*shown}
