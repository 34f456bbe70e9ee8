"""Faults on demand: what they are, as data, and how long they last.

A fault is added with `Faults.add`, by the control socket as a JSON object with its ``kind``. *count* is how
many times it strikes before it is gone; 0 is until it is removed. *path* is a regular expression searched
in the path below /api2/json, *method* one matched against the whole method.
"""

import re
from dataclasses import asdict, dataclass, field
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from lab.pve.message import Body, Request
from lab.pve.state import Task


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with *status* and *reason*; *applied*: do it all the same, and then answer so."""

    status: int
    reason: str
    method: str = ".*"
    path: str = ""
    applied: bool = False
    count: int = 1
    kind: Literal["status"] = "status"


@dataclass(frozen=True, slots=True)
class Slow:
    """Answer so many simulated seconds late (times the time scale)."""

    seconds: float
    method: str = ".*"
    path: str = ""
    count: int = 0
    kind: Literal["slow"] = "slow"


@dataclass(frozen=True, slots=True)
class DropReply:
    """Do it (or, with *applied* false, do nothing) and close the connection without an answer."""

    method: str = ".*"
    path: str = ""
    applied: bool = True
    count: int = 1
    kind: Literal["drop_reply"] = "drop_reply"


@dataclass(frozen=True, slots=True)
class Garbled:
    """Answer 200 with a body that is no JSON: a proxy's page, half a document."""

    text: str = "<html><body>502 Bad Gateway</body></html>"
    method: str = ".*"
    path: str = ""
    count: int = 1
    kind: Literal["garbled"] = "garbled"


@dataclass(frozen=True, slots=True)
class NodeDown:
    """The node is gone and its containers with it: its port refuses, others answer 595 for it."""

    node: str
    kind: Literal["node_down"] = "node_down"
    count: int = 0


@dataclass(frozen=True, slots=True)
class NodeBlackhole:
    """Nothing reaches the node; it lives: 595 Connection timed out after 30 s."""

    node: str
    kind: Literal["node_blackhole"] = "node_blackhole"
    count: int = 0


@dataclass(frozen=True, slots=True)
class ProxyGone:
    """pveproxy of the node is stopped half-way: 596 through the others."""

    node: str
    count: int = 1
    kind: Literal["proxy_gone"] = "proxy_gone"


@dataclass(frozen=True, slots=True)
class DaemonGone:
    """pvedaemon of the node is dead: what needs root answers 595 Connection refused."""

    node: str
    kind: Literal["daemon_gone"] = "daemon_gone"
    count: int = 0


@dataclass(frozen=True, slots=True)
class PmxcfsDown:
    """pmxcfs of the node is dead: everything on it answers 500."""

    node: str
    kind: Literal["pmxcfs_down"] = "pmxcfs_down"
    count: int = 0


@dataclass(frozen=True, slots=True)
class NoQuorum:
    """The cluster has lost its quorum: reads answer, writes do not."""

    kind: Literal["no_quorum"] = "no_quorum"
    count: int = 0


@dataclass(frozen=True, slots=True)
class Lock:
    """Put a lock into the configuration of a container; removing the fault unlocks (``pct unlock``)."""

    vmid: int
    lock: str = "backup"
    kind: Literal["lock"] = "lock"
    count: int = 0


@dataclass(frozen=True, slots=True)
class Flock:
    """Hold the lock file of a container for so many simulated seconds from now."""

    vmid: int
    seconds: float = 3600.0
    kind: Literal["flock"] = "flock"
    count: int = 0


@dataclass(frozen=True, slots=True)
class Deaf:
    """The container ignores shutdown requests."""

    vmid: int
    kind: Literal["deaf"] = "deaf"
    count: int = 0


@dataclass(frozen=True, slots=True)
class MemoryShort:
    """The node has no more than so many MiB of memory free."""

    node: str
    free_mib: int
    kind: Literal["memory_short"] = "memory_short"
    count: int = 0


@dataclass(frozen=True, slots=True)
class StorageShort:
    """The storage has no more than so many MiB free, on one node or, without a name, on every one."""

    storage: str
    free_mib: int
    node: str = ""
    kind: Literal["storage_short"] = "storage_short"
    count: int = 0


@dataclass(frozen=True, slots=True)
class FailTask:
    """The next task of this *type* ends with *exitstatus*; *vmid* 0 is any container."""

    type: str
    exitstatus: str = "command 'lxc-start' failed: exit code 1"
    vmid: int = 0
    count: int = 1
    kind: Literal["fail_task"] = "fail_task"


@dataclass(frozen=True, slots=True)
class LoseTask:
    """The worker of the next task of this *type* is killed: no exit, no clean-up, an empty log."""

    type: str
    vmid: int = 0
    count: int = 1
    kind: Literal["lose_task"] = "lose_task"


@dataclass(frozen=True, slots=True)
class SlowTask:
    """The next task of this *type* takes so many simulated seconds more."""

    type: str
    seconds: float
    vmid: int = 0
    count: int = 1
    kind: Literal["slow_task"] = "slow_task"


RequestFault: TypeAlias = Status | Slow | DropReply | Garbled
NodeFault: TypeAlias = NodeDown | NodeBlackhole | ProxyGone | DaemonGone | PmxcfsDown
TaskFault: TypeAlias = FailTask | LoseTask | SlowTask
Fault: TypeAlias = (
    RequestFault | NodeFault | TaskFault | NoQuorum | Lock | Flock | Deaf | MemoryShort | StorageShort
)
FAULT: Final[TypeAdapter[Fault]] = TypeAdapter(Annotated[Fault, Field(discriminator="kind")])


def from_json(document: Body) -> Fault:
    """Validate one fault; raises pydantic's ValidationError, a ValueError."""
    return FAULT.validate_python(document)


@dataclass(slots=True)
class Active:
    """One fault that is on, with the strikes it has left; ``None`` is no limit."""

    number: int
    fault: Annotated[Fault, Field(discriminator="kind")]
    left: int | None

    def described(self) -> Body:
        return asdict(self.fault) | {"number": self.number, "left": self.left}


@dataclass(slots=True)
class Faults:
    """All faults that are on."""

    active: list[Active] = field(default_factory=list)
    last: int = 0

    def put(self, fault: Fault) -> int:
        """Return the number by which it is removed."""
        self.last += 1
        self.active.append(Active(self.last, fault, fault.count or None))
        return self.last

    def take(self, number: int) -> Fault | None:
        found = next((active for active in self.active if active.number == number), None)
        if found is None:
            return None
        self.active.remove(found)
        return found.fault

    def struck(self, active: Active) -> None:
        """Count one strike; the last one removes the fault."""
        if active.left is not None:
            active.left -= 1
            if active.left == 0:
                self.active.remove(active)

    def of_request(self, request: Request) -> list[RequestFault]:
        """Return what strikes this request; each is counted."""
        found = [a for a in self.active if isinstance(a.fault, RequestFault) and _meant(a.fault, request)]
        for active in found:
            self.struck(active)
        return [active.fault for active in found if isinstance(active.fault, RequestFault)]

    def of_node(self, node: str) -> Active | None:
        return next((a for a in self.active if isinstance(a.fault, NodeFault) and a.fault.node == node), None)

    def strike_task(self, task: Task, time_scale: float) -> None:
        """Let the faults meant for this new task mark it."""
        for active in list(self.active):
            fault = active.fault
            if (
                not isinstance(fault, TaskFault)
                or fault.type != task.type
                or fault.vmid not in (0, task.vmid)
            ):
                continue
            self.struck(active)
            match fault:
                case FailTask(exitstatus=exitstatus):
                    task.fails_with = exitstatus
                case LoseTask():
                    task.lost = True
                case SlowTask(seconds=seconds):
                    task.ends_at += seconds * time_scale
            return


def _meant(fault: RequestFault, request: Request) -> bool:
    right_method = re.fullmatch(fault.method, request.method) is not None
    return right_method and re.search(fault.path, request.path) is not None
