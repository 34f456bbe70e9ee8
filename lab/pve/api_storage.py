"""/storage and /nodes/{node}/storage."""

import hashlib
from typing import Final

from lab.pve import capacity
from lab.pve.call import Call
from lab.pve.message import Json, died, refused_parameters
from lab.pve.state import Storage, Volume

PATH_TYPES: Final = frozenset({"dir", "btrfs"})


def _visible(call: Call) -> list[Storage]:
    wanted = ("Datastore.Audit", "Datastore.AllocateSpace")
    return [s for s in call.world.storages.values() if call.may(f"/storage/{s.name}", *wanted)]


def list_storages(call: Call) -> Json:
    """storage.cfg; only entries that the caller may see."""
    text = repr(sorted(call.world.storages)).encode()
    digest = hashlib.sha1(text, usedforsecurity=False).hexdigest()
    rows: list[Json] = []
    for storage in _visible(call):
        if call.params.get("type", storage.type) != storage.type:
            continue
        row: dict[str, Json] = {"storage": storage.name, "type": storage.type, "digest": digest}
        row |= {"content": ",".join(storage.content)} | storage.options
        rows.append(
            row | ({"path": storage.path} if storage.path else {}) | ({"shared": 1} if storage.shared else {})
        )
    return rows


def create_storage(call: Call) -> Json:
    world, name, kind = call.world, call.params["storage"], call.params["type"]
    if kind in PATH_TYPES and "path" not in call.params:
        raise died("missing value for required option 'path'")
    if not world.quorate:
        raise died("create storage failed: cfs-lock 'file-storage_cfg' error: no quorum!")
    if name in world.storages:
        raise died(f"create storage failed: storage ID '{name}' already defined")
    content = call.names("content") or ["images", "rootdir"]
    world.storages[name] = Storage(
        name, kind, call.params.get("path", ""), content, shared=call.flag("shared")
    )
    return {"storage": name, "type": kind}


def _figures(call: Call, storage: Storage) -> dict[str, Json]:
    free = capacity.storage_free(call.world, storage, call.node)
    return {
        "type": storage.type,
        "content": ",".join(storage.content),
        "shared": int(storage.shared),
        "enabled": 1,
        "active": 1,
        "total": storage.total_bytes,
        "used": storage.total_bytes - free,
        "avail": free,
    }


def node_storages(call: Call) -> Json:
    wanted = set(call.names("content"))
    rows: list[Json] = []
    for storage in _visible(call):
        if wanted and not wanted & set(storage.content):
            continue
        share = 1 - capacity.storage_free(call.world, storage, call.node) / storage.total_bytes
        rows.append(_figures(call, storage) | {"storage": storage.name, "used_fraction": share})
    return rows


def storage_status(call: Call) -> Json:
    storage = call.world.storages.get(call.params["storage"])
    if storage is None:
        raise refused_parameters({"storage": "No such storage."})
    return _figures(call, storage)


def storage_content(call: Call) -> Json:
    storage = call.world.storage(call.params["storage"])
    return [
        _volume_row(volume)
        for volume in call.world.volumes
        if volume.storage == storage.name
        and volume.node in ("", call.node)
        and call.params.get("content", volume.content) == volume.content
        and call.params.get("vmid", str(volume.vmid)) == str(volume.vmid)
    ]


def _volume_row(volume: Volume) -> dict[str, Json]:
    row: dict[str, Json] = {
        "volid": volume.volid,
        "content": volume.content,
        "format": volume.format,
        "size": volume.size_bytes,
        "ctime": volume.ctime,
    }
    if volume.vmid is None:
        return row
    return row | {"vmid": volume.vmid, "used": capacity.volume_used(volume), "parent": None}
