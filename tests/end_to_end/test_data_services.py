"""The whole example on real data services: from nothing, after restarts, after what was done by hand."""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from lab.commands import cli
from lab.data_secrets import secret
from lab.data_systems import PRIMARY, REPLICA, servers_of
from lab.layout import Lab
from lab.postgres_faults import run
from lab.processes import marked
from lab.rabbitmq_faults import control
from lab.redis_faults import ask
from lab.sight import wait_until
from lab.start import Options, bring_up, start_daemon

PSACTL = str(Path(sys.executable).with_name("psactl"))
DATA = (
    "Elasticsearch/psa-elasticsearch",
    "PostgresCluster/psa-db",
    "RabbitMQ/psa-rabbitmq",
    "RedisInstance/psa-redis",
)
SERVERS = ("rabbitmq", "postgres", "postgres-replica", "pgbouncer", "redis", "elasticsearch")
#: The Container of each member of psa-db.
HOSTS = {"primary": "psa-db-master", "replica-1": "psa-db-replica-1"}
pytestmark = pytest.mark.timeout(240)

#: A replica that streams, is up to date, and replays.
STREAMING = """
SELECT count(*) FROM pg_stat_replication
WHERE state = 'streaming' AND pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) < 1000
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A lab with the whole example. ``from_nothing_s``: from the daemon's start until all was Ready."""

    lab: Lab
    from_nothing_s: float

    def psactl(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        argv = [PSACTL, "--socket", str(self.lab.socket("api")), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=90)

    def fault(self, *arguments: str) -> None:
        done = CliRunner().invoke(cli, ["fault", "--dir", str(self.lab.root), *arguments])
        assert done.exit_code == 0, (arguments, done.output, done.exception)

    def is_quiet(self) -> bool:
        """Whether everything is as the files say, looked at now."""
        return self.psactl("reconcile", *DATA).returncode == 0 and (
            self.psactl("wait", "--all", "--timeout", "1s").returncode == 0
            and self.psactl("diff").returncode == 0
        )

    def wait_quiet(self, seconds: float) -> float:
        found = wait_until(self.is_quiet, seconds)
        assert found is not None, (self.psactl("get").stdout, self.psactl("diff").stdout)
        return found


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="psa-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        lab = bring_up(Options(Path(folder) / "lab", data=True), daemon=False, say=print)
        try:
            started = time.monotonic()
            start_daemon(lab)
            made = Site(lab, 0.0)
            done = made.psactl("wait", "--all", "--timeout", "60s")
            assert done.returncode == 0, done
            yield Site(lab, time.monotonic() - started)
        finally:
            lab.parts.end_all(grace_s=1)
            assert marked(lab.record.mark) == frozenset()


def test_the_whole_example_is_ready_from_nothing_in_twenty_seconds(site: Site) -> None:
    assert site.from_nothing_s <= 20
    found = json.loads(site.psactl("get", "-o", "json").stdout)
    names = {f"{each['kind']}/{each['metadata']['name']}" for each in found}
    assert names >= set(DATA)
    assert site.psactl("diff").stdout == "Nothing to do.\n"


def test_a_daemon_that_finds_nothing_to_do_is_done_in_two_seconds(site: Site) -> None:
    site.wait_quiet(20)
    before = site.psactl("events").stdout
    site.fault("kill", "daemon")
    start_daemon(site.lab)
    started = time.monotonic()
    done = site.psactl("wait", "--all", "--timeout", "20s")
    assert (done.returncode, site.psactl("diff").stdout) == (0, "Nothing to do.\n")
    assert time.monotonic() - started <= 2
    steps = [line for line in site.psactl("events").stdout.splitlines() if line not in before]
    assert [line for line in steps if "Set" in line or "Make" in line] == []


def test_every_server_of_the_lab_is_restarted_below(site: Site) -> None:
    assert {server.name for server in servers_of(site.lab)} == set(SERVERS)


@pytest.mark.parametrize("server", SERVERS)
def test_nothing_differs_after_a_server_was_killed_and_started(site: Site, server: str) -> None:
    site.fault("kill", server)
    assert wait_until(lambda: server not in site.lab.parts.running(), 5) is not None
    site.fault("start", server)
    site.wait_quiet(20)


@pytest.mark.parametrize("action", ["replica-paused", "slot-dropped", "conninfo-broken"])
def test_broken_replication_streams_again_within_ten_seconds_and_without_a_person(
    site: Site, action: str
) -> None:
    site.fault("postgres", action)
    assert wait_until(lambda: streams(site.lab), 10) is not None, site.psactl("describe", DATA[1]).stdout
    site.wait_quiet(20)


def test_a_slot_and_a_connection_that_are_both_broken_are_put_right(site: Site) -> None:
    site.fault("postgres", "conninfo-broken")
    site.fault("postgres", "slot-dropped")
    assert wait_until(lambda: streams(site.lab), 10) is not None, site.psactl("describe", DATA[1]).stdout
    site.wait_quiet(20)


def streams(lab: Lab) -> bool:
    return (
        run(lab, PRIMARY, STREAMING) == "1" and run(lab, REPLICA, "SELECT pg_is_wal_replay_paused()") == "f"
    )


@pytest.mark.slow
def test_a_setting_that_needs_a_restart_is_in_force_after_both_containers_were_restarted_in_order(
    site: Site,
) -> None:
    site.wait_quiet(20)
    more = str(int(run(site.lab, PRIMARY, "SHOW max_connections")) + 10)
    for name in HOSTS.values():
        edit(site.lab, f"data/{name}.yaml", r"^  shutdownTimeout:.*", r"\g<0>\n  allow: [force-stop]")
    through = f"restart: {{containers: {json.dumps(HOSTS)}}}\n  allow: [restart]"
    edit(site.lab, "data-services/psa-db.yaml", r"restart: pg-restart.*", through)
    edit(site.lab, "data-services/psa-db.yaml", r"max_connections: \d+", f"max_connections: {more}")
    assert wait_until(lambda: in_force(site.lab) == {more}, 60) is not None, site.psactl("events").stdout
    assert began(site.lab, REPLICA) < began(site.lab, PRIMARY), "what rises restarts the standby first"
    site.wait_quiet(20)
    for name in HOSTS.values():
        said = json.loads(site.psactl("get", f"Container/{name}", "-o", "json").stdout)["metadata"][
            "requests"
        ]
        told = [(each["actor"], each["accepted"], each["answer"]) for each in said]
        assert told == [(DATA[1], True, "restarted")]


def edit(lab: Lab, name: str, pattern: str, words: str) -> None:
    file = lab.desired / name
    text, count = re.subn(pattern, words, file.read_text(), flags=re.MULTILINE)
    assert count == 1, (name, pattern)
    draft = file.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(file)


def in_force(lab: Lab) -> set[str]:
    """Return max_connections of all members; nothing while one of them is away."""
    try:
        return {run(lab, part, "SHOW max_connections") for part in (PRIMARY, REPLICA)}
    except click.ClickException:
        return set()


def began(lab: Lab, part: str) -> float:
    return float(run(lab, part, "SELECT extract(epoch FROM pg_postmaster_start_time())"))


def test_a_broker_that_lost_everything_is_filled_again_within_ten_seconds(site: Site) -> None:
    site.fault("rabbitmq", "wipe")
    assert wait_until(lambda: bindings(site.lab) == 4, 10) is not None
    site.wait_quiet(20)


def bindings(lab: Lab) -> int:
    """Count what the exchange of the design is bound to."""
    if "psa" not in control(lab, "list_vhosts").split():
        return 0
    return control(lab, "list_bindings", "-p", "psa", "source_name").split().count("psa.events")


@pytest.mark.parametrize("action", ["forget", "full"])
def test_a_cache_that_was_set_otherwise_is_as_asked_again(site: Site, action: str) -> None:
    site.fault("redis", action)
    site.wait_quiet(20)
    config = secret(site.lab, "redis-config-command")
    assert ask(site.lab, config, "GET", "maxmemory", "maxmemory-policy") == {
        "maxmemory": str(4 << 30),
        "maxmemory-policy": "allkeys-lru",
    }


@pytest.mark.slow
def test_two_members_that_take_writes_freeze_their_cluster_and_nothing_else(site: Site) -> None:
    site.fault("postgres", "second-primary")
    assert wait_until(lambda: "SplitBrain" in site.psactl("get").stdout, 20) is not None
    others = [each for each in DATA if each != DATA[1]]
    assert site.psactl("wait", *others, "--timeout", "5s").returncode == 0
    run(site.lab, PRIMARY, "ALTER ROLE psa_app CONNECTION LIMIT 7")
    site.fault("postgres", "well")
    site.wait_quiet(30)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (("postgres", "replica-stopped"), DATA[1]),
        (("postgres", "archive-failing"), DATA[1]),
        (("postgres", "wal-held"), DATA[1]),
        (("postgres", "other-system"), DATA[1]),
        (("rabbitmq", "memory-alarm"), DATA[2]),
        (("rabbitmq", "disk-alarm"), DATA[2]),
        (("redis", "no-disk"), DATA[3]),
        (("elasticsearch", "read-only"), DATA[0]),
        (("elasticsearch", "red"), DATA[0]),
        (("elasticsearch", "no-master"), DATA[0]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else value.partition("/")[0],
)
def test_what_only_a_person_can_end_is_said_and_is_over_when_it_is_over(
    site: Site, fault: tuple[str, str], kind: str
) -> None:
    site.fault(*fault)
    try:
        assert wait_until(lambda: not is_well(site, kind), 20) is not None, site.psactl("get", kind).stdout
    finally:
        site.fault(fault[0], "well")
    assert wait_until(lambda: is_well(site, kind), 30) is not None, site.psactl("describe", kind).stdout
    site.wait_quiet(20)


def is_well(site: Site, key: str) -> bool:
    """Look at an object now; return whether it is Ready and nothing is said against it."""
    site.psactl("reconcile", key)
    found = json.loads(site.psactl("get", key, "-o", "json").stdout)
    said = {each["type"]: each["status"] for each in found["status"]["conditions"]}
    return (said["Ready"], said["Degraded"]) == ("True", "False")
