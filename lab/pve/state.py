"""Everything the simulated cluster remembers, as plain data that goes to JSON and back."""

import hashlib
from dataclasses import dataclass, field

from lab.pve.message import died

DAY_S = 86_400


@dataclass(slots=True)
class Node:
    name: str
    number: int
    ip: str
    down_since: float | None = None
    cpus: int = 2
    memory_bytes: int = 25_276_514_304
    disk_bytes: int = 270_553_174_016


@dataclass(slots=True)
class Storage:
    """One entry of storage.cfg; *shared* volumes exist once, the others per node."""

    name: str
    type: str
    path: str
    content: list[str]
    shared: bool = False
    options: dict[str, str] = field(default_factory=dict)
    total_bytes: int = 270_553_174_016


@dataclass(slots=True)
class Volume:
    """A disk image or a container template; *node* is "" on shared storages."""

    volid: str
    storage: str
    node: str
    content: str
    format: str
    size_bytes: int
    ctime: int
    vmid: int | None = None


@dataclass(slots=True)
class Container:
    """One CT: *config* and *pending* hold the raw texts of its configuration file.

    *ostemplate* is what it was created from; Proxmox forgets that, so no answer may show it.
    *deaf* containers ignore a shutdown request.
    """

    vmid: int
    node: str
    config: dict[str, str]
    ostemplate: str = ""
    pending: dict[str, str] = field(default_factory=dict)
    pending_delete: list[str] = field(default_factory=list)
    snapshots: dict[str, dict[str, str]] = field(default_factory=dict)
    started_at: float | None = None
    pid: int = 0
    deaf: bool = False
    ha_state: str = ""
    ha_group: str = ""

    @property
    def running(self) -> bool:
        return self.started_at is not None

    @property
    def merged(self) -> dict[str, str]:
        """The configuration as it will be after the next start."""
        kept = {key: text for key, text in self.config.items() if key not in self.pending_delete}
        return kept | self.pending

    @property
    def name(self) -> str:
        return self.config.get("hostname", f"CT{self.vmid}")


@dataclass(slots=True)
class Task:
    """One worker. Its effect is applied when its time has come; *exitstatus* is empty until then.

    *refused* is what the worker found wrong when it began, *fails_with* the exit that a fault or a stop
    prescribes; a *lost* worker is killed half-way.
    """

    upid: str
    node: str
    pid: int
    pstart: int
    starttime: int
    type: str
    id: str
    user: str
    begins_at: float
    ends_at: float
    params: dict[str, str] = field(default_factory=dict)
    vmid: int = 0
    exitstatus: str = ""
    begun: bool = False
    refused: str = ""
    fails_with: str = ""
    lost: bool = False
    log: list[str] = field(default_factory=list)

    def running(self, now: float) -> bool:
        return now < self.ends_at


@dataclass(slots=True)
class Token:
    value: str
    privsep: bool = True
    expire: int = 0
    comment: str = ""


@dataclass(slots=True)
class User:
    userid: str
    password: str = ""
    tokens: dict[str, Token] = field(default_factory=dict)


@dataclass(slots=True)
class AclEntry:
    """*who* is ``user@realm`` or ``user@realm!token``."""

    path: str
    who: str
    role: str
    propagate: bool = True


@dataclass(slots=True)
class StatRow:
    """What pvestatd last reported of one CT."""

    vmid: int
    node: str
    status: str
    name: str
    sampled_at: float
    row: dict[str, int | float | str]


@dataclass(slots=True)
class World:
    """The root. Times are seconds since the epoch; *time_scale* multiplies every simulated duration."""

    version: str
    seed: int
    started_at: float
    time_scale: float
    name: str = "simtest"
    counter: int = 0
    forked: int = 0
    running_version: int = 0
    sampled_at: float = 0.0
    quorate: bool = True
    memory_limits: dict[str, int] = field(default_factory=dict)
    """Bytes that a node has free at most, by its name: a fault's."""
    storage_limits: dict[str, int] = field(default_factory=dict)
    """Bytes that a storage has free at most, by node/storage; without a node for every one: a fault's."""
    nodes: dict[str, Node] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)
    volumes: list[Volume] = field(default_factory=list)
    containers: dict[int, Container] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    open_tasks: list[int] = field(default_factory=list)  # places in *tasks* of those without an exit
    users: dict[str, User] = field(default_factory=dict)
    acl: list[AclEntry] = field(default_factory=list)
    roles: dict[str, list[str]] = field(default_factory=dict)
    statd: dict[int, StatRow] = field(default_factory=dict)
    bridges: list[str] = field(default_factory=lambda: ["vmbr0"])
    devices: list[str] = field(default_factory=lambda: ["/dev/net/tun", "/dev/fuse", "/dev/kvm"])
    flocks: dict[int, float] = field(default_factory=dict)

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    def draw(self) -> bytes:
        """32 bytes that depend on the seed and on how many were drawn before."""
        self.counter += 1
        return hashlib.sha256(f"{self.seed}:{self.counter}".encode()).digest()

    def seconds(self, duration_s: float) -> float:
        return duration_s * self.time_scale

    def unfinished(self) -> list[Task]:
        return [self.tasks[place] for place in self.open_tasks]

    def find(self, vmid: int, node: str) -> Container | None:
        container = self.containers.get(vmid)
        return container if container is not None and container.node == node else None

    def load(self, vmid: int, node: str) -> Container:
        """Return the container on exactly this node.

        Raises: ApiError 500 with Proxmox's text for a missing configuration file.
        """
        container = self.find(vmid, node)
        if container is None:
            raise died(f"Configuration file 'nodes/{node}/lxc/{vmid}.conf' does not exist")
        return container

    def storage(self, name: str) -> Storage:
        storage = self.storages.get(name)
        if storage is None:
            raise died(f"storage '{name}' does not exist")
        return storage

    def volume(self, volid: str, node: str) -> Volume | None:
        return next((v for v in self.volumes if v.volid == volid and v.node in ("", node)), None)

    def unused_vmid(self) -> int:
        return next(vmid for vmid in range(100, 1_000_000_000) if vmid not in self.containers)

    def mark_running_changed(self) -> None:
        self.running_version += 1
