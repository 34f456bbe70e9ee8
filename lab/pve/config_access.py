"""Which privileges the settings of a container need (pve-container, check_ct_modify_config_perm)."""

from collections.abc import Mapping
from typing import Final

from lab.pve import access, disks, properties
from lab.pve.access import Identity
from lab.pve.message import forbidden
from lab.pve.state import World

PRIVILEGE: Final = {
    "cores": "VM.Config.CPU", "cpulimit": "VM.Config.CPU", "cpuunits": "VM.Config.CPU",
    "memory": "VM.Config.Memory", "swap": "VM.Config.Memory",
    "nameserver": "VM.Config.Network", "searchdomain": "VM.Config.Network", "hostname": "VM.Config.Network",
}  # fmt: skip
ROOT_ONLY: Final = {
    "hookscript": "changing the hookscript is only allowed for root@pam",
    "dev": "configuring device passthrough is only allowed for root@pam",
}
NO_FEATURES: Final = "changing feature flags for privileged container is only allowed for root@pam"
NESTING_ONLY: Final = "changing feature flags (except nesting) is only allowed for root@pam"


def check(world: World, who: Identity, vmid: int, new: Mapping[str, str], old: Mapping[str, str]) -> None:
    """Refuse the settings that the caller may not change; a deleted one has the text "" in *new*.

    Raises: ApiError 403.
    """
    if who.is_root:
        return
    for key, text in new.items():
        _check_one(world, who, f"/vms/{vmid}", (key, text), old)


def _check_one(
    world: World, who: Identity, path: str, setting: tuple[str, str], old: Mapping[str, str]
) -> None:
    key, text = setting
    kind = key.rstrip("0123456789")
    if kind in ROOT_ONLY:
        raise forbidden(ROOT_ONLY[kind])
    match kind:
        case "rootfs" | "mp":
            _check_drive(world, who, path, text)
        case "net":
            _check_network(world, who, path, text, old.get(key, ""))
        case "features":
            _check_features(world, who, path, text, old)
        case "unprivileged":
            return
        case _:
            access.require(world, who, path, PRIVILEGE.get(key, "VM.Config.Options"))


def _check_drive(world: World, who: Identity, path: str, text: str) -> None:
    if text and disks.is_bind(text):
        raise forbidden("mount point type bind is only allowed for root@pam")
    access.require(world, who, path, "VM.Config.Disk")
    asked = disks.ALLOCATION.fullmatch(disks.volid_of(text)) if text else None
    if asked:
        access.require(world, who, f"/storage/{asked['storage']}", "Datastore.AllocateSpace")


def _check_network(world: World, who: Identity, path: str, text: str, old: str) -> None:
    access.require(world, who, path, "VM.Config.Network")
    bridge = properties.parse(text).get("bridge") if text else None
    if bridge and bridge != properties.parse(old).get("bridge"):
        access.require(world, who, f"/sdn/zones/localnetwork/{bridge}", "SDN.Use")


def _check_features(world: World, who: Identity, path: str, text: str, old: Mapping[str, str]) -> None:
    if old.get("unprivileged") != "1":
        raise forbidden(NO_FEATURES)
    before, after = properties.parse(old.get("features", "")), properties.parse(text)
    before.pop("nesting", None)
    after.pop("nesting", None)
    if before != after:
        raise forbidden(NESTING_ONLY)
    access.require(world, who, path, "VM.Allocate")
