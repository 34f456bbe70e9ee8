"""Releases that look at a real PostgreSQL and RabbitMQ, too: a replica that hangs, a queue that fills."""

import json
import tempfile
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from crds.release import Phase
from lab.commands import cli
from lab.data_secrets import secret
from lab.data_systems import PRIMARY, rabbit_of
from lab.postgres_faults import run
from tests.real_releases import NEW, NEWER, Releases, releases

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
QUEUE = "psa/notifications.email"
GATES = {
    "replicationLag": {"cluster": "psa-db", "limit": "4Mi", "for": "1s"},
    "databaseErrors": {"cluster": "psa-db", "for": "1s"},
    "queueDepth": {"broker": "psa-rabbitmq", "queues": [QUEUE], "limit": 50, "for": "1s"},
}
#: Twelve MB of WAL.
WRITE = (
    "SELECT count(pg_logical_emit_message(false, 'test', repeat('x', 1000000))) FROM generate_series(1, 12)"
)


@pytest.fixture
def site() -> Iterator[Releases]:
    with tempfile.TemporaryDirectory(prefix="psa-test-", dir="/tmp") as folder:
        # The servers' users must get through.
        Path(folder).chmod(0o755)
        with releases(Path(folder) / "lab", data=True) as found:
            yield found


def fault(site: Releases, *words: str) -> None:
    done = CliRunner().invoke(cli, ["fault", "--dir", str(site.lab.root), *words])
    assert done.exit_code == 0, (done.output, done.exception)


def ask_rabbit(site: Releases, method: str, path: str, body: object = None) -> None:
    """Call the management API as the lab's administrator."""
    config = rabbit_of(site.lab).config
    name = f"{config.user}:{secret(site.lab, 'rabbitmq-reconciler')}"
    request = urllib.request.Request(
        f"http://{config.management}/api/{path}", json.dumps(body).encode(), method=method
    )
    request.add_header("Authorization", f"Basic {b64encode(name.encode()).decode()}")
    urllib.request.urlopen(request, timeout=5).close()  # noqa: S310 - a lab's own address


def test_a_replica_that_hangs_holds_a_release_until_it_streams_again(site: Releases) -> None:
    with site.users(100) as users:
        site.ask_for(NEW, gates=GATES, watch="10s")
        site.wait_in(Phase.WATCH, number=1, seconds=60)
        fault(site, "postgres", "receiver-frozen")
        run(site.lab, PRIMARY, WRITE)
        site.wait("the hold", lambda: site.hold() == "GateReplicationLag", 20)
        page = site.psactl("release", "status").stdout
        assert "✖ replicationLag  replica-1 is 1" in page
        assert "limit 4 MiB" in page
        assert "✔ queueDepth" in page
        time.sleep(12)
        assert site.is_in(Phase.WATCH), "longer than the watch"
        fault(site, "postgres", "well")
        site.wait_in(Phase.COMPLETED, number=1, seconds=60)
    assert users.failed == 0
    assert "HoldEnded" in site.reasons()


def test_a_queue_that_stays_full_takes_the_version_back(site: Releases) -> None:
    with site.users(100) as users:
        site.ask_for(NEWER, gates=GATES, watch="10s", holdFor="5s")
        site.wait_in(Phase.WATCH, number=1, seconds=60)
        message = {"properties": {}, "routing_key": "ticket.created", "payload": "x"}
        for _ in range(60):
            ask_rabbit(
                site, "POST", "exchanges/psa/psa.events/publish", message | {"payload_encoding": "string"}
            )
        attempt = site.wait_in(Phase.ROLLED_BACK, number=1, seconds=60)
    assert users.failed == 0
    assert attempt.reason == "GateQueueDepth"
    assert f"{QUEUE} holds 60 messages, limit 50; 1 queue read" in attempt.message
    ask_rabbit(site, "DELETE", "queues/psa/notifications.email/contents")
