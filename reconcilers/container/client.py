"""What this slice asks of a Proxmox cluster, and how the API's answers are read."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol

from reconcilers.container.model import (
    Config,
    Elsewhere,
    Place,
    Properties,
    SeenContainer,
    SeenTask,
    TaskState,
    Volume,
)
from reconcilers.container.settings import parse_properties, parse_size, parse_tags
from reconcilers.contract import PermanentError, TransientError
from reconcilers.transports.proxmox import NOTHING, ApiPath, Json, Method
from reconcilers.transports.proxmox_errors import AbsentError

_UPID: Final = re.compile(
    r"UPID:(?P<node>[A-Za-z0-9][A-Za-z0-9-]{0,62}):[0-9A-F]{8}:[0-9A-F]{8,9}:(?P<begun>[0-9A-F]{8})"
    r":(?P<kind>[a-z]{1,32}):(?P<id>[A-Za-z0-9@._-]*):(?P<user>[^\s:/?#%\\]+):"
)
_NODE: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_LOG_LINES: Final = 3
_QUORUM_KNOWN_FOR_S: Final = 2.0
Power = Literal["start", "shutdown", "stop", "reboot"]


class Proxmox(Protocol):
    """The transport, as far as this slice uses it; it raises the contract's errors."""

    @property
    def token_id(self) -> str: ...
    async def read(self, path: ApiPath, params: Mapping[str, str] = NOTHING) -> Json: ...
    async def write(self, method: Method, path: ApiPath, params: Mapping[str, str] = NOTHING) -> Json: ...


class ContainerClient(Protocol):
    """The calls of this slice. Those that change something return the UPID of their task."""

    @property
    def user(self) -> str:
        """Who our tasks run as, as in a UPID."""
        ...

    async def look(self, place: Place) -> SeenContainer | None:
        """Return the container, or None if that node has none with the id."""
        ...

    async def find(self, ctid: int) -> Elsewhere | None:
        """Return where the cluster's list, up to 10 s old, has a guest with the id."""
        ...

    async def may_see(self, ctid: int) -> bool:
        """Whether the token's permissions show it guests with the id."""
        ...

    async def is_quorate(self) -> bool | None:
        """Whether the cluster takes writes; None if the token may not ask. At most 2 s old."""
        ...

    async def task(self, upid: str) -> SeenTask:
        """Return how a task stands."""
        ...

    async def tasks(self, place: Place, since: datetime) -> tuple[SeenTask, ...]:
        """Return the tasks on the container since then, newest first."""
        ...

    async def create(self, place: Place, options: Properties) -> str: ...
    async def configure(
        self, place: Place, options: Properties, *, deleted: tuple[str, ...], digest: str
    ) -> None: ...
    async def resize(self, place: Place, *, gib: int) -> str: ...
    async def power(self, place: Place, verb: Power, *, patience: timedelta | None = None) -> str: ...
    async def destroy(self, place: Place) -> str: ...


class ProxmoxContainers:
    """The calls of this slice over a transport."""

    def __init__(self, transport: Proxmox) -> None:
        self._transport = transport
        self._quorum: tuple[float, bool | None] | None = None

    @property
    def user(self) -> str:
        return self._transport.token_id

    async def look(self, place: Place) -> SeenContainer | None:
        path = _container(place)
        try:
            status = _mapping(await self._transport.read((*path, "status", "current")))
            # One file read gives values, what is pending, and the digest of both.
            rows = _rows(await self._transport.read((*path, "pending")))
        except AbsentError:
            return None
        return parse_container(place.node, status, rows)

    async def find(self, ctid: int) -> Elsewhere | None:
        rows = _rows(await self._transport.read(("cluster", "resources"), {"type": "vm"}))
        row = next((row for row in rows if str(row.get("vmid")) == str(ctid)), None)
        return None if row is None else Elsewhere(_text(row, "node"), is_container=row.get("type") == "lxc")

    async def may_see(self, ctid: int) -> bool:
        path = f"/vms/{ctid}"
        found = _mapping(await self._transport.read(("access", "permissions"), {"path": path}))
        for ancestor in (path, "/vms", "/"):
            held = found.get(ancestor)
            # The number says whether the privilege reaches below its path.
            if isinstance(held, dict) and "VM.Audit" in held:
                return ancestor == path or held["VM.Audit"] == 1
        return False

    async def is_quorate(self) -> bool | None:
        now = asyncio.get_running_loop().time()
        if self._quorum is None or now - self._quorum[0] > _QUORUM_KNOWN_FOR_S:
            self._quorum = now, await self._ask_quorum()
        return self._quorum[1]

    async def _ask_quorum(self) -> bool | None:
        try:
            rows = _rows(await self._transport.read(("cluster", "status")))
        except PermanentError as exc:
            if exc.reason != "Forbidden":
                raise
            return None
        cluster = next((row for row in rows if row.get("type") == "cluster"), None)
        # A single node without a cluster has no such row, and needs no quorum.
        return cluster is None or cluster.get("quorate") == 1

    async def task(self, upid: str) -> SeenTask:
        match = _parse_upid(upid)
        path = ("nodes", match["node"], "tasks", upid)
        try:
            row = _mapping(await self._transport.read((*path, "status")))
            if row.get("exitstatus") == "unexpected status":
                # Also what is read while the worker writes its last line.
                row = _mapping(await self._transport.read((*path, "status")))
        except AbsentError:
            return _seen_task(match, TaskState.LOST, "Proxmox does not know the task any more")
        except PermanentError as exc:
            if exc.reason != "Forbidden":
                raise
            # Begun by a token that is ours no more.
            return _seen_task(match, TaskState.LOST, str(exc))
        if row.get("status") == "running":
            return _seen_task(match, TaskState.RUNNING, "")
        state, message = _verdict(row.get("exitstatus"))
        if state is TaskState.FAILED:
            message = await self._with_log(path, message)
        return _seen_task(match, state, message)

    async def _with_log(self, path: ApiPath, message: str) -> str:
        rows = _rows(await self._transport.read((*path, "log"), {"limit": "500"}))
        lines = [_text(row, "t").strip() for row in rows]
        told = [line for line in lines if line and not line.startswith("TASK ") and line not in message]
        return f"{message} (log: {' | '.join(told[-_LOG_LINES:])})" if told else message

    async def tasks(self, place: Place, since: datetime) -> tuple[SeenTask, ...]:
        params = {"vmid": str(place.ctid), "since": str(int(since.timestamp())), "source": "all"}
        rows = _rows(await self._transport.read((*_node(place), "tasks"), params))
        found = []
        for row in rows:
            match = _parse_upid(_text(row, "upid"))
            # A list has the exit status under this name, and none while the task runs.
            if row.get("endtime") is None and row.get("status") in {None, "", "running", "RUNNING"}:
                found.append(_seen_task(match, TaskState.RUNNING, ""))
            else:
                found.append(_seen_task(match, *_verdict(row.get("status"))))
        return tuple(sorted(found, key=lambda task: task.begun_at, reverse=True))

    async def create(self, place: Place, options: Properties) -> str:
        return _upid(await self._transport.write("POST", (*_node(place), "lxc"), dict(options)))

    async def configure(
        self, place: Place, options: Properties, *, deleted: tuple[str, ...], digest: str
    ) -> None:
        params = {**dict(options), "digest": digest}
        if deleted:
            params["delete"] = ",".join(deleted)
        await self._transport.write("PUT", (*_container(place), "config"), params)

    async def resize(self, place: Place, *, gib: int) -> str:
        params = {"disk": "rootfs", "size": f"{gib}G"}
        return _upid(await self._transport.write("PUT", (*_container(place), "resize"), params))

    async def power(self, place: Place, verb: Power, *, patience: timedelta | None = None) -> str:
        params = {} if patience is None else {"timeout": str(max(1, int(patience.total_seconds())))}
        return _upid(await self._transport.write("POST", (*_container(place), "status", verb), params))

    async def destroy(self, place: Place) -> str:
        return _upid(await self._transport.write("DELETE", _container(place)))


def parse_container(
    node: str, status: Mapping[str, Json], rows: Sequence[Mapping[str, Json]]
) -> SeenContainer:
    """Read ``status/current`` and ``pending`` of one container; raise KeyError for a missing member."""
    high_availability = _mapping(status.get("ha") or {})
    is_managed = high_availability.get("managed") == 1
    lock = status.get("lock")
    return SeenContainer(
        node=node,
        is_running=_text(status, "status") == "running",
        config=parse_config(_merged(rows)),
        lock=str(lock) if lock else None,
        ha_state=str(high_availability.get("state") or "started") if is_managed else None,
        pending=tuple(sorted(_text(row, "key") for row in rows if "pending" in row or row.get("delete"))),
    )


def _merged(rows: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """Return the values as they will be after the next start, which is what GET config shows."""
    return {
        _text(row, "key"): row["pending"] if "pending" in row else row.get("value")
        for row in rows
        if not row.get("delete") or "pending" in row
    }


def parse_config(values: Mapping[str, Json]) -> Config:
    """Read a configuration as GET config shows it; raise KeyError if it has no digest."""
    text = {key: str(value) for key, value in values.items() if value is not None}
    return Config(
        digest=text["digest"],
        hostname=text.get("hostname"),
        cores=int(text["cores"]) if "cores" in text else None,
        memory_mib=int(text.get("memory", "512")),
        swap_mib=int(text.get("swap", "512")),
        root=_volume(text["rootfs"]) if "rootfs" in text else None,
        net0=parse_properties(text.get("net0", "")),
        features=parse_properties(text.get("features", "")),
        nameserver=text.get("nameserver", ""),
        searchdomain=text.get("searchdomain", ""),
        tags=parse_tags(text.get("tags", "")),
        on_boot=text.get("onboot") == "1",
        startup=parse_properties(text.get("startup", ""), default_key="order"),
        protection=text.get("protection") == "1",
        description=text.get("description", ""),
        unprivileged=text.get("unprivileged") == "1",
        is_template=text.get("template") == "1",
    )


def _volume(text: str) -> Volume:
    properties = dict(parse_properties(text, default_key="volume"))
    size = properties.get("size")
    return Volume(properties["volume"].partition(":")[0], parse_size(size) if size else None)


def _verdict(exit_status: Json) -> tuple[TaskState, str]:
    match exit_status:
        case "OK":
            return TaskState.DONE, ""
        case str() as text if text.startswith("WARNINGS"):
            return TaskState.DONE, text
        case str() as text if text and text != "unexpected status":
            return TaskState.FAILED, text
        case _:
            return TaskState.ENDED, "Proxmox cannot say how the task ended"


def _seen_task(match: re.Match[str], state: TaskState, message: str) -> SeenTask:
    begun_at = datetime.fromtimestamp(int(match["begun"], 16), UTC)
    return SeenTask(match.string, match["kind"], match["user"], begun_at, state, message)


def _parse_upid(text: str) -> re.Match[str]:
    match = _UPID.fullmatch(text)
    if match is None:
        raise TransientError(f"{text!r} is no UPID")
    return match


def _upid(answer: Json) -> str:
    return _parse_upid(str(answer)).string


def _node(place: Place) -> tuple[str, ...]:
    if _NODE.fullmatch(place.node) is None:
        raise PermanentError(f"{place.node!r} is no node name", reason="InvalidRequest")
    return ("nodes", place.node)


def _container(place: Place) -> tuple[str, ...]:
    return (*_node(place), "lxc", str(int(place.ctid)))


def _mapping(answer: Json) -> Mapping[str, Json]:
    if not isinstance(answer, dict):
        raise TransientError(f"Proxmox answered {type(answer).__name__} where an object is due")
    return answer


def _rows(answer: Json) -> list[Mapping[str, Json]]:
    if not isinstance(answer, list):
        raise TransientError(f"Proxmox answered {type(answer).__name__} where a list is due")
    return [_mapping(row) for row in answer]


def _text(row: Mapping[str, Json], key: str) -> str:
    return str(row[key])
