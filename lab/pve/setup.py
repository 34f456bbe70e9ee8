"""What a cluster holds before anybody uses it, as data: the lab writes it, the simulator applies it."""

from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from lab.pve.cluster import PveCluster
from lab.pve.message import Body


@dataclass(frozen=True, slots=True)
class TokenSetup:
    user: str
    name: str
    secret: str
    privsep: bool = True


@dataclass(frozen=True, slots=True)
class AclSetup:
    who: str
    path: str
    role: str
    propagate: bool = True


@dataclass(frozen=True, slots=True)
class StorageSetup:
    name: str
    type: str = "dir"
    path: str = ""
    content: str = "rootdir,vztmpl"
    shared: bool = False


@dataclass(frozen=True, slots=True)
class SizeSetup:
    """How big each node, and each storage, of the cluster is."""

    cpus: int
    memory_bytes: int
    storage_bytes: int


@dataclass(frozen=True, slots=True)
class TemplateSetup:
    storage: str
    name: str


@dataclass(frozen=True, slots=True)
class Setup:
    """Applying one twice changes nothing; *users* maps user ids to passwords, *roles* names to privileges."""

    size: SizeSetup | None = None
    storages: tuple[StorageSetup, ...] = ()
    templates: tuple[TemplateSetup, ...] = ()
    bridges: tuple[str, ...] = ()
    users: dict[str, str] | None = None
    roles: dict[str, tuple[str, ...]] | None = None
    tokens: tuple[TokenSetup, ...] = ()
    acl: tuple[AclSetup, ...] = ()


SETUP: Final[TypeAdapter[Setup]] = TypeAdapter(Setup)


def from_json(document: Body) -> Setup:
    """Validate; raises pydantic's ValidationError, a ValueError."""
    return SETUP.validate_python(document)


def apply(cluster: PveCluster, setup: Setup) -> None:
    """Add what is missing."""
    for bridge in setup.bridges:
        cluster.add_bridge(bridge)
    _apply_storages(cluster, setup)
    if setup.size is not None:
        cluster.resize(cpus=setup.size.cpus, memory=setup.size.memory_bytes, storage=setup.size.storage_bytes)
    _apply_access(cluster, setup)


def _apply_storages(cluster: PveCluster, setup: Setup) -> None:
    for s in setup.storages:
        cluster.add_storage(s.name, type_=s.type, path=s.path, content=s.content, shared=s.shared)
    known = {volume.volid for volume in cluster.world.volumes}
    for template in setup.templates:
        if f"{template.storage}:vztmpl/{template.name}" not in known:
            cluster.add_template(template.storage, template.name)


def _apply_access(cluster: PveCluster, setup: Setup) -> None:
    for userid, password in (setup.users or {}).items():
        cluster.add_user(userid, password)
    for role, privileges in (setup.roles or {}).items():
        cluster.add_role(role, privileges)
    for token in setup.tokens:
        cluster.add_token(token.user, token.name, token.secret, privsep=token.privsep)
    present = {(entry.who, entry.path, entry.role) for entry in cluster.world.acl}
    for entry in setup.acl:
        if (entry.who, entry.path, entry.role) not in present:
            cluster.allow(entry.who, entry.path, entry.role, propagate=entry.propagate)
