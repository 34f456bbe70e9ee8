"""What can be broken in a running lab, seen by its users and by HAProxy. Two HAProxy nodes, no daemon."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from crds.service import Color
from lab.commands import cli
from lab.layout import Lab
from lab.sight import Sight
from tests.lab.lab_containers import counters, run_container, until

GATEWAY, BACKEND = "psa-api-gateway", "api_backend"
BLUE, GREEN = (GATEWAY, "blue", "1.0.0"), (GATEWAY, "green", "1.2.0")


def run(*arguments: str) -> str:
    """Run a command of the lab in this process, which is quicker; return what it prints."""
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return done.stdout


def refused(*arguments: str) -> tuple[int, str]:
    """Run it as a user does; return exit code and error."""
    argv = [sys.executable, "-m", "lab", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def broken_lab() -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="psa-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        root = Path(folder) / "lab"
        scale = ("--time-scale", "0.1")
        run("up", "--dir", str(root), "--no-daemon", "--services", "3", "--haproxy", "2", *scale)
        lab = Lab.open(root)
        try:
            for color, version in ((Color.BLUE, "1.0.0"), (Color.GREEN, "1.2.0")):
                run_container(lab, GATEWAY, color, version)
            run_container(lab, "psa-crm", Color.BLUE, "1.0.0")
            run_container(lab, "psa-crm", Color.GREEN, "1.2.0")
            yield lab
        finally:
            lab.parts.end_all(grace_s=1)


@pytest.fixture
def lab(broken_lab: Lab) -> Lab:
    """The lab with nothing wrong in it, both colours up at both nodes."""
    fault(broken_lab, "clear")
    for node in (1, 2):
        if Sight(broken_lab).haproxies[node - 1].worker_pid() is None:
            fault(broken_lab, "haproxy", "start", "--node", str(node))
    until(lambda: all(_is_up(broken_lab, node) for node in (1, 2)))
    return broken_lab


def _is_up(lab: Lab, node: int) -> bool:
    lines = Sight(lab).haproxies[node - 1].ask(f"show servers state {BACKEND}").splitlines()[2:]
    # The sixth column is the operational state: 2 is up.
    return {line.split()[5] for line in lines if line.strip()} == {"2"}


def fault(lab: Lab, *arguments: str) -> str:
    return run("fault", "--dir", str(lab.root), *arguments)


def load(lab: Lab, *arguments: str, rate: int = 200, seconds: float = 1) -> dict[str, Any]:
    argv = ["load", "--dir", str(lab.root), "--rate", str(rate), "--seconds", str(seconds), "-o", "json"]
    tally: dict[str, Any] = json.loads(run(*argv, *arguments))
    return tally


def who(rows: list[dict[str, str]]) -> set[tuple[str, str, str]]:
    return {(row["service"], row["color"], row["version"]) for row in rows}


def test_a_bad_version_is_seen_by_its_users_and_named_in_the_tally(lab: Lab) -> None:
    fault(lab, "app", GATEWAY, "--version", "1.2.0", "--error-rate", "50%")
    tally = load(lab)
    assert who(tally["servedBy"]) == {BLUE, GREEN}
    assert who(tally["failedBy"]) == {GREEN}
    assert 25 < tally["failed"] < 75
    assert tally["statuses"]["500"] == tally["failed"]
    assert 0 <= tally["firstBad"]["afterS"] < tally["lastBad"]["afterS"] < 2
    assert tally["lastBad"]["version"] == "1.2.0"


def test_a_well_lab_fails_nobody(lab: Lab) -> None:
    tally = load(lab)
    assert (tally["sent"], tally["failed"], tally["firstBad"]) == (200, 0, None)
    assert who(tally["servedBy"]) == {BLUE, GREEN}


def test_a_bad_service_behind_a_good_gateway_is_seen_at_its_colours_entry(lab: Lab) -> None:
    fault(lab, "app", "psa-crm", "--version", "1.2.0", "--error-rate", "1")
    assert load(lab)["failed"] == 0
    tally = load(lab, "--path", "/api/psa-crm")
    assert (tally["statuses"], tally["failed"]) == ({"200": 100, "502": 100}, 100)
    assert who(tally["failedBy"]) == {GREEN}
    assert who(tally["servedBy"]) == {BLUE}


def test_a_peer_without_a_container_is_an_error_at_the_gateway(lab: Lab) -> None:
    assert load(lab, "--path", "/api/psa-tickets", seconds=0.2)["statuses"] == {"502": 40}


def test_a_database_that_is_down_fails_both_colours(lab: Lab) -> None:
    fault(lab, "database", "down")
    assert who(load(lab)["failedBy"]) == {BLUE, GREEN}
    fault(lab, "database", "up")
    assert load(lab)["failed"] == 0


def test_a_version_that_leaks_connections_fails_the_other_one_too(lab: Lab) -> None:
    fault(lab, "database", "up", "--connections", "20")
    fault(lab, "app", GATEWAY, "--version", "1.2.0", "--leak-connections")
    tally = load(lab)
    assert who(tally["failedBy"]) == {BLUE, GREEN}
    assert tally["failed"] > 100


@pytest.mark.parametrize(
    ("option", "counter"),
    [("--error-rate", "hrsp_5xx"), ("--reset", "eresp"), ("--garbage", "eresp"), ("--refuse", "wredis")],
)
def test_each_fault_is_counted_by_haproxy_where_it_belongs(lab: Lab, option: str, counter: str) -> None:
    sight = Sight(lab)
    before = counters(sight, BACKEND, "green")[counter]
    fault(lab, "app", GATEWAY, "--color", "green", option, *(["1"] if option == "--error-rate" else []))
    tally = load(lab, "--node", "1", seconds=0.5)
    assert counters(sight, BACKEND, "green")[counter] > before
    # A kept connection that HAProxy closes without an answer is tried again by clients, ours too (RFC 9112
    # 9.3.1); refused connections are sent to the other server: nobody notices.
    assert (tally["failed"] + tally["retried"] > 0) is (option != "--refuse")


def test_a_share_of_slow_requests_is_seen_in_the_tail_only(lab: Lab) -> None:
    fault(lab, "app", GATEWAY, "--latency", "0.3", "--slow-share", "10%")
    latency = load(lab)["latencyMs"]
    assert latency["p50"] < 100
    assert latency["p99"] >= 300


def test_a_health_endpoint_that_fails_takes_its_server_out(lab: Lab) -> None:
    fault(lab, "app", GATEWAY, "--color", "green", "--unhealthy")
    until(lambda: not _is_up(lab, 1))
    assert who(load(lab, "--node", "1")["servedBy"]) == {BLUE}


def test_a_wrong_version_in_health_is_what_the_endpoint_says(lab: Lab) -> None:
    fault(lab, "app", GATEWAY, "--health-version", "9.9.9")
    served = load(lab, "--path", "/health", seconds=0.1)
    assert served["failed"] == 0
    assert "health version 9.9.9" in run("status", "--dir", str(lab.root))


def test_both_nodes_are_in_the_settings_and_get_every_other_request(lab: Lab) -> None:
    settings = yaml.safe_load(lab.config.read_text())
    assert settings["endpoints"]["edge"]["sockets"] == [
        f"unix://{lab.socket('haproxy')}",
        f"unix://{lab.socket('haproxy2')}",
    ]
    sight = Sight(lab)
    before = [counters(sight, "api_frontend", "FRONTEND", node)["req_tot"] for node in (1, 2)]
    load(lab)
    after = [counters(sight, "api_frontend", "FRONTEND", node)["req_tot"] for node in (1, 2)]
    assert [new - old for old, new in zip(before, after, strict=True)] == [100, 100]


def test_one_node_can_be_away_and_come_back(lab: Lab) -> None:
    fault(lab, "haproxy", "stop", "--node", "2")
    tally = load(lab)
    assert (tally["answered"], tally["failures"]) == (100, {"refused": 100})
    assert load(lab, "--node", "1")["failed"] == 0
    assert "away" in run("status", "--dir", str(lab.root))
    fault(lab, "haproxy", "start", "--node", "2")
    assert load(lab)["failed"] == 0
    assert refused("fault", "--dir", str(lab.root), "haproxy", "start") == (1, "Error: it runs\n")


def test_a_weight_is_set_at_one_node(lab: Lab) -> None:
    fault(lab, "weight", "--node", "2", f"{BACKEND}/blue", "7")
    assert [Sight(lab).servers(BACKEND, node)["blue"].weight for node in (1, 2)] == [100, 7]
    assert "100 ready / 7 ready" in run("status", "--dir", str(lab.root))
    fault(lab, "haproxy", "reload", "--node", "2")


def test_reloads_under_load_lose_no_request(lab: Lab) -> None:
    sight, wanted = Sight(lab), ("--rate", "300", "--node", "1", "-o", "json")
    before = counters(sight, "api_frontend", "FRONTEND")["req_tot"]
    argv = [sys.executable, "-m", "lab", "load", "--dir", str(lab.root), *wanted]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as users:
        until(lambda: counters(sight, "api_frontend", "FRONTEND")["req_tot"] > before + 100)
        for _ in range(10):
            fault(lab, "haproxy", "reload")
        users.terminate()
        output, _ = users.communicate(timeout=20)
    tally = json.loads(output)
    assert tally["sent"] > 100
    assert tally["failed"] == 0, tally


def test_heavy_load_is_counted_alike(lab: Lab) -> None:
    fault(lab, "app", GATEWAY, "--version", "1.2.0", "--error-rate", "10%")
    argv = ["load", "--dir", str(lab.root), "--heavy", "--seconds", "1", "-o", "json"]
    tally = json.loads(run(*argv))
    assert tally.keys() == load(lab, seconds=0.1).keys()
    assert tally["sent"] > 200
    assert who(tally["failedBy"]) == {GREEN}


def test_status_tells_versions_weights_and_faults(lab: Lab) -> None:
    fault(lab, "app", "psa-crm", "--version", "1.3.0", "--hang", "10%")
    fault(lab, "hook", "unit", "hang", "--seconds", "5")
    fault(lab, "node", "pve2", "--memory-free", "1Gi")
    fault(lab, "storage", "local", "--free", "2Gi", "--node", "pve3")
    fault(lab, "database", "slow", "--seconds", "0.5")
    text = run("status", "--dir", str(lab.root))
    assert f"  {GATEWAY}     blue 1.0.0, 100 ready" in text
    assert "green 1.2.0, 100 ready" in text
    assert "  psa-tickets         blue -" in text
    for line in (
        "  app psa-crm 1.3.0: hang 0.1",
        "  database latency 0.5",
        "  hook unit hang 5",
        "memory_short node=pve2 free_mib=1024",
        "storage_short storage=local free_mib=2048 node=pve3",
    ):
        assert line in text
    fault(lab, "clear")
    assert run("status", "--dir", str(lab.root)).endswith("faults in force\n  none\n")


@pytest.mark.parametrize("part", ["app", "proxmox", "haproxy2"])
def test_a_part_that_was_killed_can_be_started_again_as_it_was(lab: Lab, part: str) -> None:
    fault(lab, "app", GATEWAY, "--version", "1.2.0", "--error-rate", "1")
    former = lab.parts.running()[part]
    fault(lab, "kill", part)
    until(lambda: part not in lab.parts.running())
    fault(lab, "start", part)
    until(lambda: part in lab.parts.running() and lab.parts.running()[part] != former)
    until(lambda: all(_is_up(lab, node) for node in (1, 2)))
    assert who(load(lab, seconds=0.2)["failedBy"]) == {GREEN}
    assert refused("fault", "--dir", str(lab.root), "start", part) == (2, f"Error: {part} runs\n")


def test_templates_are_listed_added_and_removed(lab: Lab) -> None:
    where = ("template", "--dir", str(lab.root))
    listed = run(*where)
    assert listed.count("1.0.0 1.1.0 1.2.0") == 11
    assert run(*where, "psa-crm", "3.1.4").split()[-1] == "3.1.4"
    assert "3.1.4" not in run(*where, "psa-tickets")
    assert "3.1.4" not in run(*where, "psa-crm", "3.1.4", "--remove")
    code, error = refused(*where, "psa-crm", "3.1.4", "--remove")
    assert (code, "no template local:vztmpl/psa-crm_3.1.4_amd64.tar.zst" in error) == (2, True)
    assert run(*where, "all", "5.0").count("5.0\n") == 11


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("app", "psa-cmr", "--error-rate", "1"), "no service psa-cmr; there is psa-ai"),
        (("app", "psa-crm", "--error-rate", "5"), "5 is not between 0 and 1"),
        (("app", "psa-crm", "--error-rate", "many"), "is no share, such as 0.05 or 5%"),
        (("node", "pve2"), "what shall be wrong with it?"),
        (("node", "pve2", "--memory-free", "1G"), "is no amount, such as 512Mi or 1Gi"),
        (("storage", "lcoal", "--free", "1Gi"), "no storage lcoal; there is local, shared"),
        (("hook", "unit", "explode"), "'explode' is not one of"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(lab: Lab, arguments: tuple[str, ...], message: str) -> None:
    code, error = refused("fault", "--dir", str(lab.root), *arguments)
    assert (code, message in error) == (2, True), error
