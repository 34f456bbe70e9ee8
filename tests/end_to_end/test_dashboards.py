"""Every query of the dashboards, asked of a real Prometheus that watched a good release and a bad one."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crds.release import Phase
from lab.monitoring import monitoring_urls
from lab.series import QueryError, at_once, filled, over_time
from metrics.dashboard import Dashboard, Panel, Query
from metrics.panels import DASHBOARDS
from metrics.panels_data import DATA
from tests.real_releases import GATEWAY, NEW, NEWER, Releases, releases

_FILES = Path(__file__).parents[2] / "metrics/dashboards"
QUERIES = [
    (dashboard, panel, query)
    for dashboard in DASHBOARDS
    if dashboard is not DATA  # test_data_dashboard.py: it needs data services
    for panel in dashboard.panels
    for query in panel.queries
]


def annotations() -> Iterator[str]:
    for path in _FILES.glob("psa-*.json"):
        for each in json.loads(path.read_text())["annotations"]["list"]:
            yield each["expr"]


def show_two_releases(site: Releases) -> None:
    """A version that goes live, and one that fails and goes back."""
    with site.users(200):
        site.ask_for(NEW)
        site.wait_in(Phase.COMPLETED, number=1)
        site.fault(GATEWAY, NEWER, error_rate=0.3)
        site.ask_for(NEWER)
        site.wait_in(Phase.ROLLED_BACK, number=2)
        time.sleep(2.5)  # the last look of Prometheus, and of its rules


def is_empty(url: str, where: tuple[Dashboard, Panel, Query], begin: float) -> bool:
    """Whether nothing is to be seen in a panel; QueryError where Prometheus refuses its query."""
    dashboard, panel, query = where
    expr, now = filled(dashboard, query), time.time()
    if panel.shape in {"stat", "table"}:
        return not at_once(url, expr, at=now)
    return not any(series.points for series in over_time(url, expr, begin=begin, end=now))


@pytest.mark.timeout(240)
def test_no_query_fails_and_none_that_should_have_data_is_empty(short_path: Path) -> None:
    began = time.time()
    with releases(short_path / "lab", metrics=True) as site:
        show_two_releases(site)
        url = monitoring_urls(site.lab)["prometheus"]
        with pytest.raises(QueryError, match="parse error"):
            over_time(url, "sum(", begin=began, end=time.time())
        empty = [
            f"{dashboard.uid}: {panel.title}: {query.expr}"
            for dashboard, panel, query in QUERIES
            if is_empty(url, (dashboard, panel, query), began) and not query.is_quiet
        ]
        assert empty == []
        for expr in annotations():
            assert over_time(url, expr, begin=began, end=time.time()) != (), expr
        for variable in [each.variable for each in DASHBOARDS if each.variable is not None]:
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable[1])
            assert found is not None
            assert any(found[2] in each.labels for each in at_once(url, found[1], at=time.time()))
        candidate = 'psa_release_errors_total{role="candidate"}'
        failed = max(value for each in over_time(url, candidate, begin=began, end=time.time())
                     for _, value in each.points)  # fmt: skip
        assert failed > 0
