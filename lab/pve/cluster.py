"""The simulated cluster: one pure class, no clock, no chance, no I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import TypeAdapter

from lab.pve import access, dispatch, formats, identity, work
from lab.pve.access import ROOT
from lab.pve.faults import (
    Deaf,
    Fault,
    Faults,
    Flock,
    Lock,
    MemoryShort,
    NodeDown,
    NoQuorum,
    StorageShort,
)
from lab.pve.message import Auth, Request, Response
from lab.pve.properties import parse
from lab.pve.state import AclEntry, Container, Node, Storage, Task, Token, User, Volume, World

DEFAULT_NODES: Final = ("pve1", "pve2", "pve3")
TEMPLATE_BYTES: Final = 2_237_096


@dataclass(frozen=True, slots=True)
class RunningContainer:
    """A container that runs, with what a simulated application in it needs.

    *addresses* are the static addresses of its interfaces without prefix, net0 first.
    """

    vmid: int
    node: str
    hostname: str
    tags: tuple[str, ...]
    addresses: tuple[str, ...]
    ostemplate: str
    env: tuple[str, ...]
    description: str
    started_at: float


@dataclass(slots=True)
class _Saved:
    world: World
    faults: Faults


class PveCluster:
    """A Proxmox VE cluster with containers. Times are seconds since the epoch, brought by the caller.

    It starts with root@pam (password ``simsecret``), the storages ``local`` and ``shared`` and no containers.
    *time_scale* multiplies every simulated duration: tasks, delays, the period of pvestatd.
    """

    def __init__(
        self,
        nodes: Sequence[str] = DEFAULT_NODES,
        *,
        version: str = "8.4",
        seed: int = 0,
        start: float = 0.0,
        time_scale: float = 1.0,
    ) -> None:
        self.world = World(version, seed, start, time_scale, sampled_at=start)
        self.faults = Faults()
        for number, name in enumerate(nodes, 1):
            self.world.nodes[name] = Node(name, number, f"10.77.0.{10 + number}")
        self.add_storage("local", path="/var/lib/vz", content="vztmpl,backup,iso,rootdir")
        self.add_storage("shared", path="/mnt/shared", content="vztmpl,rootdir,backup", shared=True)
        self.world.users[ROOT] = User(ROOT, "simsecret")

    # set-up

    def add_storage(
        self, name: str, *, type_: str = "dir", path: str = "", content: str = "rootdir", shared: bool = False
    ) -> None:
        options = {"prune-backups": "keep-all=1"} if name == "local" else {}
        kinds = formats.split_list(content)
        self.world.storages[name] = Storage(name, type_, path, kinds, shared=shared, options=options)

    def add_template(self, storage: str, name: str) -> str:
        """Put a container template on every node; returns its volume id."""
        volid = f"{storage}:vztmpl/{name}"
        nodes = [""] if self.world.storages[storage].shared else list(self.world.nodes)
        started = int(self.world.started_at)
        for node in nodes:
            volume = Volume(volid, storage, node, "vztmpl", "tzst", TEMPLATE_BYTES, started)
            self.world.volumes.append(volume)
        return volid

    def remove_template(self, volid: str) -> bool:
        """Delete a template from every node; False if there is none. Containers made from it live on."""
        kept = [v for v in self.world.volumes if (v.content, v.volid) != ("vztmpl", volid)]
        found = len(kept) < len(self.world.volumes)
        self.world.volumes = kept
        return found

    def resize(self, *, cpus: int, memory: int, storage: int) -> None:
        """Let all nodes, and all storages, be so big (bytes)."""
        for node in self.world.nodes.values():
            node.cpus, node.memory_bytes = cpus, memory
        for each in self.world.storages.values():
            each.total_bytes = storage

    def add_bridge(self, name: str) -> None:
        if name not in self.world.bridges:
            self.world.bridges.append(name)

    def add_user(self, userid: str, password: str = "") -> None:
        self.world.users.setdefault(userid, User(userid, password))

    def add_role(self, name: str, privileges: Iterable[str]) -> None:
        self.world.roles[name] = list(privileges)

    def add_token(self, userid: str, name: str, secret: str, *, privsep: bool = True) -> Auth:
        """Create the token (and its user on demand); returns the credentials that use it."""
        self.add_user(userid)
        self.world.users[userid].tokens[name] = Token(secret, privsep=privsep)
        return Auth(authorization=f"PVEAPIToken={userid}!{name}={secret}")

    def allow(self, who: str, path: str, role: str, *, propagate: bool = True) -> None:
        """Add one ACL entry; *who* is ``user@realm`` or ``user@realm!token``."""
        if not access.role_exists(self.world, role):
            raise ValueError(f"role {role} does not exist")
        self.world.acl.append(AclEntry(path, who, role, propagate))

    def disallow(self, who: str, path: str) -> None:
        self.world.acl = [entry for entry in self.world.acl if (entry.who, entry.path) != (who, path)]

    def log_in(self, userid: str, now: float) -> Auth:
        """Return the credentials of a fresh ticket, without a password."""
        ticket = identity.ticket_for(self.world, userid, now)
        return Auth(ticket=ticket, csrf=identity.csrf_for(self.world, userid, now))

    # requests and time

    def handle(self, request: Request, now: float) -> Response:
        """Answer one request; never raises for anything that a client can send."""
        self.advance(now)
        answering = replace(request, via_node=request.via_node or next(iter(self.world.nodes)))
        return dispatch.answer(self.world, self.faults, answering, now)

    def advance(self, now: float) -> None:
        """Let everything happen that is due until *now*; `handle` does this first."""
        work.advance(self.world, now)

    def next_event_at(self) -> float | None:
        """When the next task ends."""
        return min((task.ends_at for task in self.world.unfinished()), default=None)

    # faults and the operator's hands

    def add_fault(self, fault: Fault, now: float) -> int:
        """Switch a fault on; returns the number by which `remove_fault` switches it off."""
        self.advance(now)
        match fault:
            case NodeDown(node=node):
                self._node_dies(node, now)
            case NoQuorum():
                self.world.quorate = False
            case Lock(vmid=vmid, lock=lock):
                self.world.containers[vmid].config["lock"] = lock
            case Flock(vmid=vmid, seconds=seconds):
                self.world.flocks[vmid] = now + self.world.seconds(seconds)
            case Deaf(vmid=vmid):
                self.world.containers[vmid].deaf = True
            case MemoryShort(node=node, free_mib=free_mib):
                self.world.memory_limits[self._known_node(node)] = free_mib << 20
            case StorageShort(storage=storage, node=node, free_mib=free_mib):
                place = f"{self._known_node(node) if node else ''}/{self._known_storage(storage)}"
                self.world.storage_limits[place] = free_mib << 20
            case _:
                pass
        return self.faults.put(fault)

    def remove_fault(self, number: int, now: float) -> bool:
        """Switch one fault off and undo what it holds; False if there is none with this number."""
        self.advance(now)
        fault = self.faults.take(number)
        match fault:
            case NodeDown(node=node):
                self._node_returns(node, now)
            case NoQuorum():
                self.world.quorate = True
            case Lock(vmid=vmid):
                self.unlock(vmid)
            case Flock(vmid=vmid):
                self.world.flocks.pop(vmid, None)
            case Deaf(vmid=vmid) if vmid in self.world.containers:
                self.world.containers[vmid].deaf = False
            case MemoryShort(node=node):
                self.world.memory_limits.pop(node, None)
            case StorageShort(storage=storage, node=node):
                self.world.storage_limits.pop(f"{node}/{storage}", None)
            case _:
                pass
        return fault is not None

    def clear_faults(self, now: float) -> None:
        for active in list(self.faults.active):
            self.remove_fault(active.number, now)

    def _known_node(self, name: str) -> str:
        if name not in self.world.nodes:
            raise ValueError(f"no node {name}; there is {', '.join(self.world.nodes)}")
        return name

    def _known_storage(self, name: str) -> str:
        if name not in self.world.storages:
            raise ValueError(f"no storage {name}; there is {', '.join(self.world.storages)}")
        return name

    def _node_dies(self, name: str, now: float) -> None:
        self.world.nodes[self._known_node(name)].down_since = now
        self.world.mark_running_changed()

    def _node_returns(self, name: str, now: float) -> None:
        """Containers with onboot come back with their node, the others stay off."""
        self.world.nodes[name].down_since = None
        for container in self.world.containers.values():
            if container.node == name and container.running:
                container.started_at = now if container.config.get("onboot") == "1" else None
        self.world.mark_running_changed()

    def unlock(self, vmid: int) -> None:
        """``pct unlock``."""
        container = self.world.containers.get(vmid)
        if container is not None:
            container.config.pop("lock", None)

    def stop_by_hand(self, vmid: int, now: float) -> None:
        """Let the container die, or be switched off on the node: no API call, no task."""
        self.advance(now)
        work.halt(self.world, self.world.containers[vmid])

    def start_by_hand(self, vmid: int, now: float) -> None:
        self.advance(now)
        work.boot(self.world, self.world.containers[vmid], now)

    def edit_by_hand(self, vmid: int, key: str, text: str) -> None:
        """Somebody changes the configuration file on the node."""
        self.world.containers[vmid].config[key] = text

    # what is

    def containers(self) -> tuple[Container, ...]:
        return tuple(self.world.containers[vmid] for vmid in sorted(self.world.containers))

    def container(self, vmid: int) -> Container | None:
        return self.world.containers.get(vmid)

    def templates(self) -> tuple[str, ...]:
        """Return the container templates' volume ids."""
        return tuple(sorted({v.volid for v in self.world.volumes if v.content == "vztmpl"}))

    def tasks(self) -> tuple[Task, ...]:
        return tuple(self.world.tasks)

    @property
    def running_version(self) -> int:
        """Grows whenever a container starts or stops."""
        return self.world.running_version

    def running(self) -> tuple[RunningContainer, ...]:
        """Return the containers that run on nodes that live."""
        return tuple(
            _running(container, container.started_at)
            for container in self.containers()
            if container.started_at is not None and self.world.nodes[container.node].down_since is None
        )

    # keeping

    def to_json(self) -> str:
        return _SAVED.dump_json(_Saved(self.world, self.faults)).decode()

    @classmethod
    def from_json(cls, text: str) -> "PveCluster":
        saved = _SAVED.validate_json(text)
        cluster = cls(())
        cluster.world, cluster.faults = saved.world, saved.faults
        return cluster


_SAVED: Final[TypeAdapter[_Saved]] = TypeAdapter(_Saved)


def _running(container: Container, started_at: float) -> RunningContainer:
    config = container.config
    static = [parse(config[key]).get("ip", "") for key in sorted(config) if key.startswith("net")]
    return RunningContainer(
        vmid=container.vmid,
        node=container.node,
        hostname=container.name,
        tags=tuple(formats.split_list(config.get("tags", ""))),
        addresses=tuple(address.partition("/")[0] for address in static if "/" in address),
        ostemplate=container.ostemplate,
        env=tuple(part for part in config.get("env", "").split("\0") if part),
        description=config.get("description", ""),
        started_at=started_at,
    )
