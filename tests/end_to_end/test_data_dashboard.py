"""Every query of the data dashboard, asked of a real Prometheus while the daemon looks at real servers."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from lab.data_secrets import secret
from lab.data_systems import pgbouncer_of
from lab.layout import Lab
from lab.monitoring import monitoring_urls
from lab.series import at_once, filled, over_time
from lab.sight import wait_until
from lab.start import Options, bring_up
from metrics.dashboard import Panel, Query
from metrics.panels_data import DATA

PSACTL = str(Path(sys.executable).with_name("psactl"))
QUERIES = [(panel, query) for panel in DATA.panels for query in panel.queries]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="psa-test-", dir="/tmp") as folder:
        # The servers' users must get through.
        Path(folder).chmod(0o755)
        lab = bring_up(
            Options(Path(folder) / "lab", services=1, data=True, metrics=True), daemon=True, say=print
        )
        try:
            yield lab
        finally:
            lab.parts.end_all(grace_s=1)


def is_empty(url: str, panel: Panel, query: Query, begin: float) -> bool:
    """Whether nothing is to be seen in a panel; QueryError where Prometheus refuses its query."""
    expr, now = filled(DATA, query), time.time()
    if panel.shape == "stat":
        return not at_once(url, expr, at=now)
    return not any(series.points for series in over_time(url, expr, begin=begin, end=now))


def test_no_query_of_the_data_dashboard_fails_and_none_is_empty(lab: Lab) -> None:
    began = time.time()
    argv = [PSACTL, "--socket", str(lab.socket("api")), "wait", "--all", "--timeout", "60s"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stdout
    url = monitoring_urls(lab)["prometheus"]
    host, _, port = pgbouncer_of(lab).config.address.rpartition(":")
    where = f"host={host} port={port} dbname=psa_platform user=psa_app"
    with psycopg.connect(where, password=secret(lab, "psa-app")) as client:
        # A pool is there from its first client on.
        client.execute("SELECT 1")

        def missing() -> list[str]:
            return [
                f"{panel.title}: {query.expr}"
                for panel, query in QUERIES
                if not query.is_quiet and is_empty(url, panel, query, began)
            ]

        assert wait_until(lambda: not missing(), 30) is not None, missing()
    alerts = {each.labels["alertname"] for each in at_once(url, "ALERTS", at=time.time())}
    assert alerts & {"PsaPostgresSplitBrain", "PsaPostgresSlotLost", "PsaRabbitmqAlarm"} == set()
    lag = at_once(url, "psa_postgres_replication_lag_bytes", at=time.time())
    assert [each.labels["replica"] for each in lag] == ["replica-1"]
