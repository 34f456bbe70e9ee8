"""What is to be seen of a lab, asked from the systems themselves: Proxmox, HAProxy, the daemon."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lab.control import ControlError, call_now
from lab.haproxy import LabHaproxy
from lab.layout import Lab
from lab.slots import read_services
from lab.wiring import haproxy_of


@dataclass(frozen=True, slots=True)
class SeenContainer:
    """A container as the Proxmox simulator has it; ``started_at`` is None while it is off."""

    ctid: int
    node: str
    config: Mapping[str, str]
    started_at: float | None


@dataclass(frozen=True, slots=True)
class SeenServer:
    """A server of HAProxy at run time."""

    weight: int
    state: str


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request to Proxmox's API that asked for a change; ``number`` counts all requests."""

    number: int
    method: str
    path: str
    status: int


class Sight:
    """Looks at one lab. Each look raises ControlError or OSError where nobody answers."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        services = read_services(lab.example)
        self.haproxies: Sequence[LabHaproxy] = [haproxy_of(lab, services, node=n) for n in lab.haproxies]

    @property
    def haproxy(self) -> LabHaproxy:
        """The first HAProxy node."""
        return self.haproxies[0]

    def containers(self) -> Mapping[int, SeenContainer]:
        """Return all containers by id."""
        rows = _rows(_mapping(call_now(self._lab.socket("pve"), "GET", "/state"))["containers"])
        return {seen.ctid: seen for seen in map(_container, rows)}

    def changes(self, since: int = 0) -> Sequence[SeenRequest]:
        """Return the requests that asked Proxmox for a change, after request number *since*."""
        rows = _rows(call_now(self._lab.socket("pve"), "GET", f"/log?since={since}"))
        return [
            SeenRequest(
                int(str(row["number"])), str(row["method"]), str(row["path"]), int(str(row["status"]))
            )
            for row in rows
            if row["method"] != "GET"
        ]

    def creations(self, since: int = 0) -> int:
        """Return how often a container was asked for, after request number *since*."""
        asked = self.changes(since)
        return sum(seen.method == "POST" and seen.path.endswith("/lxc") for seen in asked)

    def last_request(self) -> int:
        """Return the number of Proxmox's last request."""
        rows = _rows(call_now(self._lab.socket("pve"), "GET", "/log"))
        return max((int(str(row["number"])) for row in rows), default=0)

    def servers(self, backend: str, node: int = 1) -> Mapping[str, SeenServer]:
        """Return the servers of a backend as a HAProxy node has them now."""
        lines = self.haproxies[node - 1].ask(f"show servers state {backend}").splitlines()
        rows = [line.split() for line in lines[2:] if line.strip()]
        # be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight
        return {row[3]: SeenServer(int(row[7]), _admin_state(int(row[6]))) for row in rows}

    def objects(self) -> Mapping[str, Mapping[str, object]]:
        """Return the daemon's objects by Kind/name."""
        rows = _rows(call_now(self._lab.socket("api"), "GET", "/api/v1/objects"))
        return {f"{row['kind']}/{_mapping(row['metadata'])['name']}": row for row in rows}

    def unready(self) -> Sequence[str]:
        """Return the objects that are not Ready for what is asked for now."""
        return [name for name, found in self.objects().items() if not _is_ready(found)]

    def problems(self) -> Sequence[str]:
        """Return what is wrong in the files, each as the daemon shows it."""
        status = _mapping(call_now(self._lab.socket("api"), "GET", "/api/v1/status"))
        return [str(row["rendered"]) for row in _rows(_mapping(status["source"])["problems"])]

    def events(self, name: str) -> Sequence[str]:
        """Return the messages of an object's events, oldest first."""
        return [message for _, message in self.reasons(name)]

    def reasons(self, name: str) -> Sequence[tuple[str, str]]:
        """Return the reasons and messages of an object's events, oldest first."""
        path = f"/api/v1/events?object={name}&limit=1000"
        rows = _rows(call_now(self._lab.socket("api"), "GET", path))
        ordered = sorted(rows, key=lambda row: int(str(row["id"])))
        return [(str(row["reason"]), str(row["message"])) for row in ordered]


def wait_until(true: Callable[[], bool], seconds: float) -> float | None:
    """Poll until it is true; return after how many seconds, None if *seconds* were not enough.

    While nobody answers it is not true.
    """
    start = time.monotonic()
    while True:
        try:
            if true():
                return time.monotonic() - start
        except (ControlError, OSError):
            pass
        if time.monotonic() - start > seconds:
            return None
        time.sleep(0.01)


def _container(row: Mapping[str, object]) -> SeenContainer:
    config = {key: str(text) for key, text in _mapping(row["config"]).items()}
    started = row["started_at"]
    return SeenContainer(
        int(str(row["vmid"])), str(row["node"]), config, None if started is None else float(str(started))
    )


def _admin_state(flags: int) -> str:
    # 0x01 is maintenance by the runtime API, 0x08 drain; the rest comes from the configuration.
    return "maint" if flags & 0x01 else "drain" if flags & 0x08 else "ready"


def _is_ready(found: Mapping[str, object]) -> bool:
    status, metadata = _mapping(found["status"]), _mapping(found["metadata"])
    current = status["observedGeneration"] == metadata["generation"]
    conditions = _rows(status["conditions"])
    return current and any(row["type"] == "Ready" and row["status"] == "True" for row in conditions)


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ControlError(f"an object was expected, not {value!r}")
    return value


def _rows(value: object) -> Sequence[Mapping[str, object]]:
    if not isinstance(value, list):
        raise ControlError(f"a list was expected, not {value!r}")
    return [_mapping(row) for row in value]
