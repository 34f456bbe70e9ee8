"""Who may do what: roles, ACLs, and the permission expressions of the API schema."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lab.pve.message import ApiError, forbidden
from lab.pve.state import World

ROOT: Final = "root@pam"
_VM_ADMIN: Final = (
    "VM.Allocate", "VM.Audit", "VM.Backup", "VM.Clone", "VM.Config.CDROM", "VM.Config.CPU",
    "VM.Config.Cloudinit", "VM.Config.Disk", "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network",
    "VM.Config.Options", "VM.Console", "VM.Migrate", "VM.Monitor", "VM.PowerMgmt", "VM.Snapshot",
    "VM.Snapshot.Rollback",
)  # fmt: skip
_DATASTORE_ADMIN: Final = (
    "Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit",
)  # fmt: skip
_SYSTEM: Final = (
    "Sys.AccessNetwork", "Sys.Audit", "Sys.Console", "Sys.Incoming", "Sys.Modify", "Sys.PowerMgmt",
    "Sys.Syslog",
)  # fmt: skip
_SDN: Final = ("SDN.Allocate", "SDN.Audit", "SDN.Use")
_ACCESS: Final = ("Permissions.Modify", "User.Modify", "Group.Allocate", "Realm.AllocateUser")
_OTHER: Final = ("Pool.Allocate", "Pool.Audit", "Mapping.Audit", "Mapping.Modify", "Mapping.Use")
BUILT_IN_ROLES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "NoAccess": (),
        "Administrator": _VM_ADMIN + _DATASTORE_ADMIN + _SYSTEM + _SDN + _ACCESS + _OTHER,
        "PVEAdmin": _VM_ADMIN + _DATASTORE_ADMIN + _SDN + ("Sys.Audit", "Sys.Console", "Sys.Syslog") + _OTHER,
        "PVEAuditor": (
            "VM.Audit",
            "Datastore.Audit",
            "Sys.Audit",
            "SDN.Audit",
            "Pool.Audit",
            "Mapping.Audit",
        ),
        "PVEVMAdmin": _VM_ADMIN,
        "PVEVMUser": ("VM.Audit", "VM.Backup", "VM.Config.CDROM", "VM.Console", "VM.PowerMgmt"),
        "PVEDatastoreAdmin": _DATASTORE_ADMIN,
        "PVEDatastoreUser": ("Datastore.AllocateSpace", "Datastore.Audit"),
        "PVESDNUser": ("SDN.Audit", "SDN.Use"),
        "PVESDNAdmin": _SDN,
        "PVESysAdmin": ("Sys.Audit", "Sys.Console", "Sys.Syslog"),
        "PVEUserAdmin": ("User.Modify", "Group.Allocate", "Realm.AllocateUser"),
    }
)
GONE_IN_9: Final = frozenset({"VM.Monitor"})
TOP_PATHS: Final = ("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms")


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated caller: *user* alone for a ticket, with *token* for an API token."""

    user: str
    token: str = ""

    @property
    def name(self) -> str:
        return f"{self.user}!{self.token}" if self.token else self.user

    @property
    def is_root(self) -> bool:
        """Only the user itself: a token of root@pam is never root."""
        return self.name == ROOT


def privileges_of(world: World, role: str) -> frozenset[str]:
    known = frozenset(world.roles.get(role, BUILT_IN_ROLES.get(role, ())))
    return known - GONE_IN_9 if world.major >= 9 else known  # noqa: PLR2004 - the version


def role_exists(world: World, role: str) -> bool:
    return role in world.roles or role in BUILT_IN_ROLES


def _granted(world: World, who: str, path: str) -> frozenset[str]:
    """Return the privileges of one ACL name at *path*: the deepest entry that applies wins."""
    privileges: frozenset[str] = frozenset()
    for prefix in _prefixes(path):
        entries = [
            e for e in world.acl if e.who == who and e.path == prefix and (e.propagate or prefix == path)
        ]
        if entries:
            privileges = frozenset().union(*(privileges_of(world, entry.role) for entry in entries))
    return privileges


def _prefixes(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    return ["/", *("/" + "/".join(parts[: n + 1]) for n in range(len(parts)))]


def privileges(world: World, who: Identity, path: str) -> frozenset[str]:
    """All privileges of the caller at *path*; a separated token has those that it shares with its user."""
    everything = privileges_of(world, "Administrator")
    of_user = everything if who.user == ROOT else _granted(world, who.user, path)
    if not who.token:
        return of_user
    token = world.users[who.user].tokens[who.token]
    return of_user & _granted(world, who.name, path) if token.privsep else of_user


def has(world: World, who: Identity, path: str, *wanted: str) -> bool:
    """Whether the caller has at least one of *wanted* at *path*."""
    return not privileges(world, who, path).isdisjoint(wanted)


def require(world: World, who: Identity, path: str, *wanted: str) -> None:
    """Raise ApiError 403 naming the path and the first privilege that is missing."""
    held = privileges(world, who, path)
    for privilege in wanted:
        if privilege not in held:
            raise forbidden(f"{path}, {privilege}")


def require_any(world: World, who: Identity, path: str, *wanted: str) -> None:
    if not has(world, who, path, *wanted):
        raise forbidden(f"{path}, {'|'.join(wanted)}")


def check(world: World, who: Identity, expression: Sequence[object], params: Mapping[str, str]) -> None:
    """Evaluate the ``check`` expression of an endpoint.

    Raises: ApiError 403.
    """
    match expression:
        case ["and", *parts]:
            _check_all_of(world, who, parts, params)
        case ["or", *parts]:
            _check_one_of(world, who, parts, params)
        case ["perm", str() as path, list() as wanted, "any", *_]:
            require_any(world, who, _filled(path, params), *map(str, wanted))
        case ["perm", str() as path, list() as wanted, *_]:
            require(world, who, _filled(path, params), *map(str, wanted))
        case ["perm-modify", *_]:
            require(world, who, params.get("path", "/"), "Permissions.Modify")
        case ["userid-param", "self"] if params.get("userid") == who.user:
            return
        case _:  # the other tests are about users
            require(world, who, "/access/groups", "User.Modify")


def _check_all_of(world: World, who: Identity, parts: Sequence[object], params: Mapping[str, str]) -> None:
    for part in parts:
        _check_part(world, who, part, params)


def _check_part(world: World, who: Identity, part: object, params: Mapping[str, str]) -> None:
    if isinstance(part, list):
        check(world, who, part, params)


def _check_one_of(world: World, who: Identity, parts: Sequence[object], params: Mapping[str, str]) -> None:
    refusals = [refusal for part in parts if (refusal := _refusal(world, who, part, params)) is not None]
    if len(refusals) == len(parts):
        raise refusals[0]


def _refusal(world: World, who: Identity, part: object, params: Mapping[str, str]) -> ApiError | None:
    try:
        _check_part(world, who, part, params)
    except ApiError as refusal:
        return refusal
    return None


def _filled(path: str, params: Mapping[str, str]) -> str:
    for name, value in params.items():
        path = path.replace(f"{{{name}}}", value)
    return path
