"""What nodes and storages have left: the machine's own use, what containers take, and what a fault leaves."""

from typing import Final

from lab.pve import statd
from lab.pve.state import Node, Storage, Volume, World

#: Memory and root disk of a node without a container that runs, as recorded.
HOST_MEMORY_BYTES: Final = 3_565_543_424
HOST_DISK_BYTES: Final = 34_221_465_600
#: An eighth of every storage is in use by what is not ours.
_OTHERS_SHARE: Final = 8
#: A disk image is sparse: so much of it is really there.
_FILLED_SHARE: Final = 16


def memory_free(world: World, node: Node) -> int:
    """Return the bytes of memory that nobody uses."""
    running = sum(c.node == node.name and c.running for c in world.containers.values())
    free = max(0, node.memory_bytes - HOST_MEMORY_BYTES - running * statd.IDLE_MEMORY_BYTES)
    limit = world.memory_limits.get(node.name)
    return free if limit is None else min(free, limit, node.memory_bytes)


def memory_used(world: World, node: Node) -> int:
    return node.memory_bytes - memory_free(world, node)


def storage_free(world: World, storage: Storage, node: str) -> int:
    """Return the bytes that a storage has left as *node* sees it."""
    volumes = (v for v in world.volumes if v.storage == storage.name and v.node in {"", node})
    taken = storage.total_bytes // _OTHERS_SHARE + sum(map(volume_used, volumes))
    limits = [world.storage_limits.get(f"{name}/{storage.name}") for name in (node, "")]
    return min([max(0, storage.total_bytes - taken), *(limit for limit in limits if limit is not None)])


def volume_used(volume: Volume) -> int:
    """Return the bytes that a volume takes on its storage."""
    return volume.size_bytes // _FILLED_SHARE if volume.vmid is not None else volume.size_bytes
