import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.app import Applications, Running, RunningContainer
from lab.app_faults import AppFault
from lab.control import ControlError, call, serve
from lab.slots import version_of
from tests.lab.app_sites import a_site, a_slot, ask, body, get, served, status

_SERVICE = """
apiVersion: psa.platform/v1
kind: Service
metadata: {name: psa-crm}
spec:
  container:
    endpoint: pve
    template: "local:vztmpl/psa-crm_{version}_amd64.tar.zst"
    network: {bridge: vmbr1}
  colors:
    blue:  {ctid: 101,  node: pve1, address: ADDRESS/24, port: 3000}
    green: {ctid: 1101, node: pve2, address: ADDRESS/24, port: 3001}
"""


def _running(version: int, *entries: tuple[int, str]) -> Running:
    return Running(
        version=version,
        running=tuple(
            RunningContainer(
                vmid=ctid, hostname=f"ct-{ctid}", ostemplate=f"local:vztmpl/psa-crm_{release}_amd64.tar.zst"
            )
            for ctid, release in entries
        ),
    )


@pytest.fixture
def host(number: int) -> str:
    return f"127.{number}.20.11"


@pytest.fixture
def service_file(host: str, tmp_path: Path) -> Path:
    (tmp_path / "crm.yaml").write_text(_SERVICE.replace("ADDRESS", host))
    return tmp_path / "crm.yaml"


@pytest.fixture
async def applications(service_file: Path) -> AsyncIterator[Applications]:
    applications = Applications(service_file.parent)
    yield applications
    await applications.close()


async def test_a_container_that_runs_is_served_with_the_version_of_its_template(
    applications: Applications, host: str
) -> None:
    await applications.follow(_running(1, (101, "1.2.3")))
    (health,) = await ask(host, get("/health", close=True))
    assert body(health) == {"status": "healthy", "version": "1.2.3"}
    (page,) = await ask(host, get("/", close=True))
    assert body(page) == {
        "service": "psa-crm",
        "color": "blue",
        "version": "1.2.3",
        "hostname": "ct-101",
    }


async def test_a_container_that_stops_is_gone_with_its_open_connections(
    applications: Applications, host: str
) -> None:
    await applications.follow(_running(1, (101, "1.0.0")))
    reader, writer = await asyncio.open_connection(host, 3000)
    writer.write(get("/"))
    await reader.readuntil(b"\r\n\r\n")
    await applications.follow(_running(2))
    with contextlib.suppress(ConnectionResetError):
        await reader.read(-1)
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, 3000)


async def test_a_container_made_anew_from_another_template_has_the_new_version(
    applications: Applications, host: str
) -> None:
    await applications.follow(_running(1, (101, "1.0.0")))
    await applications.follow(_running(2, (101, "2.0.0")))
    (health,) = await ask(host, get("/health", close=True))
    assert body(health)["version"] == "2.0.0"


async def test_pipelined_requests_are_answered_in_order_and_bodies_are_skipped(
    applications: Applications, host: str
) -> None:
    await applications.follow(_running(1, (101, "1.0.0")))
    post = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nGET /nope"
    answers = await ask(host, get("/"), post, get("/health"), get("/", close=True))
    assert [answer[9:12] for answer in answers] == [b"200"] * 4
    assert [body(answer).get("status") for answer in answers] == [None, None, "healthy", None]


async def test_http_1_0_is_answered_and_closed(applications: Applications, host: str) -> None:
    await applications.follow(_running(1, (101, "1.0.0")))
    (answer,) = await ask(host, b"GET /health HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 20_000, b"431"),
    ],
)
async def test_what_it_cannot_read_is_refused(
    applications: Applications, host: str, request_: bytes, status: bytes
) -> None:
    await applications.follow(_running(1, (101, "1.0.0")))
    (answer,) = await ask(host, request_)
    assert answer[9:12] == status


async def test_requests_are_counted_and_health_checks_are_not(applications: Applications, host: str) -> None:
    await applications.follow(_running(1, (101, "1.0.0")))
    await ask(host, get("/"), get("/health"), get("/a", close=True))
    counts = json.loads(json.dumps(await applications.counts(None)))
    assert counts["sites"][0]["answers"] == {"200": 2}


async def test_an_unhealthy_service_says_so_and_serves_on(applications: Applications, host: str) -> None:
    await applications.follow(_running(1, (101, "1.0.0")))
    await applications.order({"service": "psa-crm", "fault": {"unhealthy": True}})
    health, page = await ask(host, get("/health"), get("/", close=True))
    assert (health[9:12], page[9:12]) == (b"503", b"200")
    await applications.order({"service": "psa-crm"})
    (health,) = await ask(host, get("/health", close=True))
    assert health[9:12] == b"200"


async def test_an_error_rate_of_one_fails_everything_but_health(
    applications: Applications, host: str
) -> None:
    await applications.follow(_running(1, (101, "1.0.0")))
    await applications.order({"service": "psa-crm", "color": "blue", "fault": {"error_rate": 1}})
    health, page = await ask(host, get("/health"), get("/", close=True))
    assert (health[9:12], page[9:12]) == (b"200", b"500")


async def test_a_fault_of_one_colour_leaves_the_other_alone(applications: Applications, host: str) -> None:
    await applications.follow(_running(1, (101, "1.0.0"), (1101, "1.0.0")))
    await applications.order({"service": "psa-crm", "color": "green", "fault": {"refuse": True}})
    (page,) = await ask(host, get("/", close=True))
    assert page[9:12] == b"200"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, 3001)
    await applications.order({"service": "psa-crm", "color": "green"})
    (page,) = await ask(host, get("/", close=True), port=3001)
    assert body(page)["color"] == "green"


async def test_latency_delays_each_answer(applications: Applications, host: str) -> None:
    await applications.follow(_running(1, (101, "1.0.0")))
    await applications.order({"service": "psa-crm", "fault": {"latency": 0.05}})
    loop = asyncio.get_running_loop()
    before = loop.time()
    answers = await ask(host, get("/"), get("/", close=True))
    assert len(answers) == 2
    assert loop.time() - before >= 0.1


async def test_a_fault_of_a_service_that_is_not_there_is_refused_with_those_that_are(
    applications: Applications, tmp_path: Path
) -> None:
    await applications.follow(_running(1, (101, "1.0.0")))
    socket = tmp_path / "s"
    async with await serve(socket, {("POST", "/lab/fault"): applications.order}):
        with pytest.raises(ControlError, match=r"400 .*no service psa-crn.*psa-crm"):
            await call(socket, "POST", "/lab/fault", {"service": "psa-crn"})
        with pytest.raises(ControlError, match="400 "):
            await call(socket, "POST", "/lab/fault", {"service": "psa-crm", "fault": {"error_rate": 7}})


async def test_two_containers_at_one_address_are_reported_and_the_first_serves_on(
    applications: Applications, host: str, tmp_path: Path
) -> None:
    text = _SERVICE.replace("ADDRESS", host).replace("101", "102").replace("name: psa-crm", "name: psa-two")
    (tmp_path / "two.yaml").write_text(text)
    await applications.follow(_running(1, (101, "1.0.0"), (102, "1.0.0")))
    counts = json.loads(json.dumps(await applications.counts(None)))
    assert [site["listening"] for site in counts["sites"]] == [True, False]
    assert "in use" in counts["sites"][1]["error"]
    await applications.follow(_running(2, (102, "1.0.0")))
    (page,) = await ask(host, get("/", close=True))
    assert body(page)["service"] == "psa-two"


async def test_a_broken_file_leaves_the_known_slots_in_use(
    applications: Applications, host: str, tmp_path: Path
) -> None:
    await applications.follow(_running(1))
    (tmp_path / "crm.yaml").write_text("kind: Service\n  bad: [")
    await applications.follow(_running(2, (101, "1.0.0")))
    (page,) = await ask(host, get("/", close=True))
    assert page[9:12] == b"200"


async def test_a_pipe_and_a_hostile_file_in_the_watched_directory_stop_no_application(
    applications: Applications, host: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "a-pipe.yaml")
    (tmp_path / "deep.yaml").write_text("[" * 100_000)
    (tmp_path / "long.yaml").write_text(f"a: {'9' * 5000}")
    (tmp_path / "folder.yaml").mkdir()
    async with asyncio.timeout(20):
        await applications.follow(_running(1, (101, "1.0.0")))
    (page,) = await ask(host, get("/", close=True))
    assert page[9:12] == b"200"


def test_the_version_stands_in_the_template_where_the_pattern_has_it() -> None:
    pattern = "local:vztmpl/psa-crm_{version}_amd64.tar.zst"
    assert version_of("local:vztmpl/psa-crm_1.2.3-rc.1_amd64.tar.zst", pattern) == "1.2.3-rc.1"
    assert version_of("local:vztmpl/debian-12_amd64.tar.zst", pattern) == "unknown"


async def test_a_client_that_left_before_a_late_answer_harms_nobody(host: str) -> None:
    async with served(a_site(a_slot(host), AppFault(latency=0.02))):
        _, writer = await asyncio.open_connection(host, 3000)
        writer.write(get("/"))
        await writer.drain()
        writer.transport.abort()
        (page,) = await ask(host, get("/", close=True))
    assert page[9:12] == b"200"


async def test_a_fault_of_a_version_is_there_from_the_first_request_of_its_container(
    applications: Applications, host: str
) -> None:
    await applications.follow(_running(1, (101, "1.0.0")))
    order = {"service": "psa-crm", "version": "1.2.0", "fault": {"error_rate": 1}}
    assert await applications.order(order) == {
        "sites": 0,
        "inForce": ["psa-crm 1.2.0: error rate 1"],
    }
    await applications.follow(_running(2, (101, "1.0.0"), (1101, "1.2.0")))
    (good,) = await ask(host, get("/", close=True))
    (bad,) = await ask(host, get("/", close=True), port=3001)
    assert (good[9:12], bad[9:12]) == (b"200", b"500")


async def test_faults_outlive_a_container_and_the_process_that_serves_it(
    service_file: Path, host: str, tmp_path: Path
) -> None:
    async def first_answer() -> int:
        applications = Applications(service_file.parent, faults=tmp_path / "faults.json")
        await applications.follow(_running(1, (101, "1.0.0")))
        await applications.follow(_running(2))
        await applications.follow(_running(3, (101, "1.0.0")))
        (answer,) = await ask(host, get("/", close=True))
        if status(answer) == 200:
            await applications.order({"service": "psa-crm", "color": "blue", "fault": {"error_rate": 1}})
        else:
            await applications.clear(None)
        await applications.close()
        return status(answer)

    assert [await first_answer() for _ in range(3)] == [200, 500, 200]


async def test_a_database_order_reaches_every_service_and_is_kept(
    service_file: Path, host: str, tmp_path: Path
) -> None:
    file = tmp_path / "faults.json"
    applications = Applications(service_file.parent, faults=file)
    await applications.order_database({"down": True})
    await applications.close()
    applications = Applications(service_file.parent, faults=file)
    await applications.follow(_running(1, (101, "1.0.0")))
    (bad,) = await ask(host, get("/", close=True))
    await applications.order_database({})
    (good,) = await ask(host, get("/", close=True))
    await applications.close()
    assert (status(bad), status(good)) == (500, 200)


async def test_a_restart_of_a_container_gives_its_connections_back(
    applications: Applications, host: str
) -> None:
    await applications.order_database({"connections": 1})
    await applications.order({"service": "psa-crm", "version": "1.2.0", "fault": {"leak_connections": 1}})
    await applications.follow(_running(1, (101, "1.0.0"), (1101, "1.2.0")))
    await ask(host, get("/", close=True), port=3001)
    (bad,) = await ask(host, get("/", close=True))
    again = _running(2, (101, "1.0.0"), (1101, "1.2.0")).running
    restarted = again[1].model_copy(update={"started_at": 7.0})
    await applications.follow(Running(version=2, running=(again[0], restarted)))
    (good,) = await ask(host, get("/", close=True))
    assert (status(bad), status(good)) == (500, 200)


async def test_a_fault_can_be_ordered_for_a_service_whose_file_is_still_to_come(
    service_file: Path, host: str, tmp_path: Path
) -> None:
    desired = tmp_path / "desired"
    desired.mkdir()
    applications = Applications(desired, example=service_file.parent)
    await applications.order({"service": "psa-crm", "fault": {"error_rate": 1}})
    with pytest.raises(ValueError, match="no service psa-crn; there is psa-crm"):
        await applications.order_database({"services": ["psa-crn"], "down": True})
    await asyncio.to_thread(service_file.rename, desired / "crm.yaml")
    await applications.follow(_running(1, (101, "1.0.0")))
    (bad,) = await ask(host, get("/", close=True))
    await applications.close()
    assert status(bad) == 500


async def test_all_means_every_service(applications: Applications, host: str) -> None:
    await applications.follow(_running(1, (101, "1.0.0")))
    await applications.order({"service": "all", "fault": {"error_rate": 1}})
    (bad,) = await ask(host, get("/", close=True))
    await applications.clear(None)
    (good,) = await ask(host, get("/", close=True))
    assert (status(bad), status(good)) == (500, 200)


async def test_a_gateway_finds_the_peers_of_its_own_colour(
    applications: Applications, number: int, tmp_path: Path
) -> None:
    gateway = f"127.{number}.20.10"
    text = (
        _SERVICE.replace("ADDRESS", gateway)
        .replace("101", "100")
        .replace("name: psa-crm", "name: psa-gw")
        .replace("spec:", "spec:\n  peers: [psa-ai, psa-crm]")
    )
    (tmp_path / "gw.yaml").write_text(text)
    await applications.follow(_running(1, (100, "1.0.0"), (1100, "1.1.0"), (101, "1.0.0")))
    (blue,) = await ask(gateway, get("/api/psa-crm", close=True))
    (green,) = await ask(gateway, get("/api/psa-crm", close=True), port=3001)
    assert body(blue)["peer"] == {
        "service": "psa-crm", "color": "blue", "version": "1.0.0", "hostname": "ct-101"
    }  # fmt: skip
    assert status(green) == 502
    assert body(green)["error"] == "psa-crm: Connection refused"
    in_turn = await ask(gateway, get("/api"), get("/api", close=True))
    assert [*map(status, in_turn)] == [200, 200], "there is no psa-ai, so nobody waits for it"
