"""The calls one by one: what is sent, and what is made of the answers."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from reconcilers.container.apply import apply_action
from reconcilers.container.client import ProxmoxContainers
from reconcilers.container.model import (
    Configure,
    ContainerAction,
    Create,
    Destroy,
    Place,
    Reboot,
    Resize,
    Shutdown,
    Start,
    Stop,
    TaskState,
)
from reconcilers.contract import DONE, Outcome, OutcomeKind, PermanentError, TransientError
from reconcilers.transports.proxmox import NOTHING, ApiPath, Json, Method
from tests.builders_container import UPID, USER

PLACE = Place("pve", "pve1", 100)
CT = "nodes/pve1/lxc/100"


class Scripted:
    """A transport that answers from a list and remembers what it was asked."""

    token_id = USER

    def __init__(self, *answers: Json) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []

    async def read(self, path: ApiPath, params: Mapping[str, str] = NOTHING) -> Json:
        return self._next("GET", path, params)

    async def write(self, method: Method, path: ApiPath, params: Mapping[str, str] = NOTHING) -> Json:
        return self._next(method, path, params)

    def _next(self, method: str, path: ApiPath, params: Mapping[str, str]) -> Json:
        self.asked.append((method, "/".join(path), dict(params)))
        return self.answers.pop(0)


@pytest.mark.parametrize(
    ("action", "asked"),
    [
        (
            Create(PLACE, (("cores", "2"), ("vmid", "100"))),
            ("POST", "nodes/pve1/lxc", {"cores": "2", "vmid": "100"}),
        ),
        (Resize(PLACE, 20), ("PUT", f"{CT}/resize", {"disk": "rootfs", "size": "20G"})),
        (Start(PLACE), ("POST", f"{CT}/status/start", {})),
        (Shutdown(PLACE, timedelta(seconds=90)), ("POST", f"{CT}/status/shutdown", {"timeout": "90"})),
        (Reboot(PLACE, timedelta(seconds=90)), ("POST", f"{CT}/status/reboot", {"timeout": "90"})),
        (Shutdown(PLACE, timedelta(milliseconds=200)), ("POST", f"{CT}/status/shutdown", {"timeout": "1"})),
        (Stop(PLACE), ("POST", f"{CT}/status/stop", {})),
        (Destroy(PLACE), ("DELETE", CT, {})),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_takes_time_is_one_call_that_returns_its_upid(
    action: ContainerAction, asked: tuple[str, str, Mapping[str, str]]
) -> None:
    transport = Scripted(UPID)
    outcome = await apply_action(ProxmoxContainers(transport), action)
    assert transport.asked == [asked]
    assert outcome == Outcome(OutcomeKind.RUNNING, reference=UPID)


async def test_settings_are_one_call_with_the_digest_and_what_is_cleared() -> None:
    transport = Scripted(None)
    action = Configure(PLACE, "abc", (("memory", "64"),), ("features", "description"))
    assert await apply_action(ProxmoxContainers(transport), action) == DONE
    sent = {"memory": "64", "digest": "abc", "delete": "features,description"}
    assert transport.asked == [("PUT", f"{CT}/config", sent)]


@pytest.mark.parametrize("answer", [None, "", "UPID:pve1:../../:x:", f"{UPID}/../..", 7])
async def test_an_answer_that_is_no_upid_leaves_the_outcome_unknown(answer: Json) -> None:
    with pytest.raises(TransientError, match="is no UPID"):
        await apply_action(ProxmoxContainers(Scripted(answer)), Start(PLACE))


@pytest.mark.parametrize("node", ["..", "pve1/../pve2", "", "pve1\n", "pve 1"])
async def test_a_node_that_is_no_name_is_never_put_into_a_path(node: str) -> None:
    transport = Scripted(UPID)
    with pytest.raises(PermanentError, match="is no node name"):
        await apply_action(ProxmoxContainers(transport), Start(Place("pve", node, 100)))
    assert transport.asked == []


async def test_an_exit_that_was_read_while_it_was_written_is_read_again() -> None:
    stopped: Json = {"status": "stopped", "exitstatus": "unexpected status"}
    transport = Scripted(stopped, {"status": "stopped", "exitstatus": "OK"})
    assert (await ProxmoxContainers(transport).task(UPID)).state is TaskState.DONE
    assert len(transport.asked) == 2


async def test_warnings_are_a_success_and_a_failure_brings_the_end_of_its_log() -> None:
    warned = Scripted({"status": "stopped", "exitstatus": "WARNINGS: 3"})
    assert (await ProxmoxContainers(warned).task(UPID)).state is TaskState.DONE
    log: list[Json] = [
        {"n": n, "t": text} for n, text in enumerate(["a", "b", " c ", "", "d", "TASK ERROR: e 1"])
    ]
    failed = Scripted({"status": "stopped", "exitstatus": "e 1"}, log)
    task = await ProxmoxContainers(failed).task(UPID)
    assert (task.state, task.message) == (TaskState.FAILED, "e 1 (log: b | c | d)")


@pytest.mark.parametrize(
    ("held", "may"),
    [
        ({}, False),
        ({"/vms/100": {"VM.Audit": 0}}, True),
        ({"/vms/100": {"VM.PowerMgmt": 1}}, False),
        ({"/vms": {"VM.Audit": 1}}, True),
        ({"/vms": {"VM.Audit": 0}, "/": {"VM.Audit": 1}}, False),
        ({"/": {"VM.Audit": 1}}, True),
        ({"/vms/1000": {"VM.Audit": 1}}, False),
    ],
)
async def test_a_privilege_counts_where_it_reaches(held: Json, *, may: bool) -> None:
    assert await ProxmoxContainers(Scripted(held)).may_see(100) is may
