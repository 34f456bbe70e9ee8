"""Data services as parts of a lab: real servers, no daemon."""

import base64
import json
import signal
import stat
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from lab.commands import cli
from lab.data_systems import elasticsearch_of, rabbit_of, servers_of
from lab.layout import Lab
from lab.processes import Process, is_alive, marked, retitled, send
from lab.rabbitmq_faults import control
from lab.redis_faults import ask
from tests.lab.lab_containers import until

SERVERS = ("rabbitmq", "postgres", "postgres-replica", "pgbouncer", "redis", "elasticsearch")


def run(*arguments: str) -> str:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return done.stdout


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="psa-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        root = Path(folder) / "lab"
        run("up", "--dir", str(root), "--no-daemon", "--no-metrics", "--services", "1", "--data")
        made = Lab.open(root)
        try:
            yield made
        finally:
            end_without_pid_files(made)


def end_without_pid_files(lab: Lab) -> None:
    """End it as `down` does, although one part is frozen and nobody wrote down who runs."""
    running = lab.parts.running()
    send(running["redis"], signal.SIGSTOP)
    until(lambda: freezes_receiver(lab), 20)
    send(running["postgres-replica"], signal.SIGKILL)
    for path in lab.record.run.glob("*.pid"):
        path.unlink()
    lab.parts.end_all(grace_s=1)
    assert marked(lab.record.mark) | retitled(lab.root) == frozenset()
    assert [name for name, process in running.items() if is_alive(process)] == []


def fault(lab: Lab, *arguments: str) -> str:
    return run("fault", "--dir", str(lab.root), *arguments)


def config_of_redis(lab: Lab) -> str:
    return (lab.secrets / "redis-config-command").read_text().strip()


def test_every_server_runs_as_a_part_and_not_as_root(lab: Lab) -> None:
    running = lab.parts.running()
    assert tuple(server.name for server in servers_of(lab)) == SERVERS
    for server in servers_of(lab):
        is_ours = server.name == "elasticsearch"  # the lab's own program, as its Proxmox is
        assert is_ours or Path(f"/proc/{running[server.name].pid}").stat().st_uid != 0, server.name
        assert server.program.is_ready()


def test_the_settings_name_endpoints_and_secrets_that_only_the_daemon_reads(lab: Lab) -> None:
    settings = yaml.safe_load(lab.config.read_text())
    assert {name for name in settings["endpoints"] if name.startswith("psa-")} == {
        "psa-db",
        "psa-elasticsearch",
        "psa-rabbitmq",
        "psa-redis",
    }
    files = [*settings["secrets"].values(), settings["endpoints"]["psa-redis"]["passwordFile"]]
    for path in map(Path, files):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(path.read_text().strip()) == 32


def test_what_lies_in_them_is_declared_in_the_watched_directory(lab: Lab) -> None:
    found = {path.relative_to(lab.desired).as_posix() for path in lab.desired.rglob("*.yaml")}
    assert "data-services/psa-redis.yaml" in found


def test_status_says_where_each_is_found(lab: Lab) -> None:
    text = run("status", "--dir", str(lab.root))
    for server in servers_of(lab):
        assert f"  {server.name} " in text
    assert f"redis://127.{lab.record.number}.30.12:6379" in text


def test_redis_forgets_what_was_set_since_its_first_start(lab: Lab) -> None:
    config = config_of_redis(lab)
    ask(lab, config, "SET", "timeout", "77")
    ask(lab, config, "REWRITE")
    fault(lab, "redis", "forget")
    assert ask(lab, config, "GET", "timeout") == {"timeout": "0"}


def test_redis_is_full_until_somebody_puts_it_right(lab: Lab) -> None:
    fault(lab, "redis", "full")
    with pytest.raises(Exception, match="used memory > 'maxmemory'"):
        ask(lab, "SET", "key", "value")
    fault(lab, "redis", "forget")
    assert ask(lab, "SET", "key", "value") is True


def test_redis_cannot_save_until_it_is_well(lab: Lab) -> None:
    fault(lab, "redis", "no-disk")
    until(lambda: _last_save(lab) == "err")
    fault(lab, "redis", "well")
    until(lambda: _last_save(lab) == "ok")


@pytest.mark.slow
def test_a_broker_begins_anew_or_goes_on(lab: Lab) -> None:
    control(lab, "add_vhost", "psa")
    fault(lab, "rabbitmq", "restart")
    assert "psa" in control(lab, "list_vhosts").split()
    fault(lab, "rabbitmq", "wipe")
    assert "psa" not in control(lab, "list_vhosts").split()


@pytest.mark.slow
def test_a_broker_has_an_alarm_until_it_is_well(lab: Lab) -> None:
    fault(lab, "rabbitmq", "memory-alarm")
    fault(lab, "rabbitmq", "disk-alarm")
    until(lambda: alarms(lab) == {"mem_alarm", "disk_free_alarm"})
    fault(lab, "rabbitmq", "well")
    until(lambda: alarms(lab) == set())


def alarms(lab: Lab) -> set[str]:
    (node,) = asked_of_rabbitmq(lab, "nodes")
    return {name for name in ("mem_alarm", "disk_free_alarm") if node.get(name)}


def asked_of_rabbitmq(lab: Lab, path: str) -> Any:
    config = rabbit_of(lab).config
    request = urllib.request.Request(
        f"http://{config.management}/api/{path}", headers=basic(config.user, config.password)
    )
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - the lab's own
        return json.load(answer)


@pytest.mark.parametrize(
    ("action", "method", "status", "color"),
    [
        ("read-only", "GET", 200, "green"),
        ("busy", "PUT", 429, None),
        ("red", "GET", 200, "red"),
        ("no-master", "GET", 503, None),
    ],
)
def test_elasticsearch_is_in_trouble_until_it_is_well(
    lab: Lab, action: str, method: str, status: int, color: str | None
) -> None:
    path = "_cluster/health" if method == "GET" else "psa-busy"
    fault(lab, "elasticsearch", action)
    code, found = asked_of_elasticsearch(lab, method, path)
    assert code == status
    assert color is None or found["status"] == color
    fault(lab, "elasticsearch", "well")
    assert asked_of_elasticsearch(lab, "GET", "_cluster/health")[1]["status"] == "green"


def asked_of_elasticsearch(lab: Lab, method: str, path: str) -> tuple[int, Any]:
    config = elasticsearch_of(lab).config
    ((user, word),) = config.accounts.items()
    request = urllib.request.Request(
        f"http://{config.address}/{path}", method=method, headers=basic(user, word)
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - the lab's own
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as exc:
        return exc.code, json.load(exc)


def basic(user: str, word: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{word}'.encode()).decode()}"}


def _last_save(lab: Lab) -> object:
    found = ask(lab, "INFO", "persistence")
    assert isinstance(found, dict)
    return found["rdb_last_bgsave_status"]


@pytest.mark.parametrize("part", SERVERS)
def test_a_server_that_was_killed_is_started_again_with_what_it_had(lab: Lab, part: str) -> None:
    former = lab.parts.running()[part]
    fault(lab, "kill", part)
    until(lambda: part not in lab.parts.running())
    fault(lab, "start", part)
    assert lab.parts.running()[part] != former


def test_a_frozen_receiver_that_outlives_its_server_is_ended_before_a_new_one_starts(lab: Lab) -> None:
    until(lambda: freezes_receiver(lab), 20)
    (receiver,) = receivers(lab)
    fault(lab, "kill", "postgres-replica")
    until(lambda: "postgres-replica" not in lab.parts.running())
    assert is_alive(receiver)
    fault(lab, "start", "postgres-replica")
    assert not is_alive(receiver)


def freezes_receiver(lab: Lab) -> bool:
    """Freeze the replica's receiver, if it has one now: it connects again some seconds after a loss."""
    words = ("fault", "--dir", str(lab.root), "postgres", "receiver-frozen")
    return CliRunner().invoke(cli, words).exit_code == 0


def receivers(lab: Lab) -> list[Process]:
    """Return PostgreSQL's processes of this lab whose title says that they receive WAL."""

    def is_receiver(process: Process) -> bool:
        return b"walreceiver" in Path(f"/proc/{process.pid}/cmdline").read_bytes()

    return [each for each in retitled(lab.root) if is_receiver(each)]


def test_clear_ends_what_is_wrong_with_all_of_them(lab: Lab) -> None:
    fault(lab, "kill", "pgbouncer")
    until(lambda: "pgbouncer" not in lab.parts.running())
    fault(lab, "elasticsearch", "red")
    fault(lab, "redis", "no-disk")
    fault(lab, "clear")
    assert "pgbouncer" in lab.parts.running()
    assert asked_of_elasticsearch(lab, "GET", "_cluster/health")[1]["status"] == "green"
    until(lambda: _last_save(lab) == "ok")


def test_a_lab_without_them_says_how_to_get_them(tmp_path: Path) -> None:
    made = Lab.create(tmp_path / "lab", 99)
    done = CliRunner().invoke(cli, ["fault", "--dir", str(made.root), "redis", "full"])
    assert (done.exit_code, "start it with `up --data`" in done.output) == (2, True)
