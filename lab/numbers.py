"""Lab numbers: a lab owns 127.N.0.0/16, and its number by a lock that its processes hold."""

import fcntl
import os
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NUMBERS: Final = range(1, 100)
_LISTENING: Final = "0A"  # TCP_LISTEN in /proc/net/tcp


class NoNumberError(Exception):
    """No number is free, or the wanted one is taken; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number that is ours as long as *lock* (a file descriptor) is open in any process.

    The descriptor is inherited by the lab's parts: the number comes free when the last of them is gone,
    however it ended, and never before.
    """

    value: int
    lock: int

    def release(self) -> None:
        """Give up this process's share of the lock."""
        os.close(self.lock)


def lock_folder() -> Path:
    """Return the machine's folder of number locks, made if need be; refuse one that another user prepared."""
    folder = Path(os.environ.get("PSA_LAB_LOCKS") or f"/tmp/psa-lab-{os.getuid()}")  # noqa: S108 - checked below
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise NoNumberError(f"{folder} must be a directory of uid {os.getuid()}: remove it")
    return folder


def take_number(folder: Path, *, owner: Path, wanted: int | None = None) -> Number:
    """Take *wanted*, or a free number; *owner* (the lab's folder) is written into the lock file."""
    listening = listening_numbers(Path("/proc/net/tcp").read_text())
    # Each folder begins elsewhere: a lab that comes back finds its number free, and neighbours seldom meet.
    first = zlib.crc32(os.fsencode(owner)) % len(NUMBERS)
    for value in (*NUMBERS[first:], *NUMBERS[:first]) if wanted is None else (wanted,):
        # A lab of another user, or a part that outlived its lock, still owns its addresses.
        if value not in listening and (lock := _try_lock(folder / f"{value}.lock", owner)) is not None:
            return Number(value, lock)
    which = f"number {wanted} is" if wanted is not None else "all numbers from 1 to 99 are"
    raise NoNumberError(f"{which} taken by other labs: see {folder}, and end one with `python -m lab down`")


def is_taken(folder: Path, value: int) -> bool:
    """Whether some process holds the lock of *value* now."""
    descriptor = _try_lock(folder / f"{value}.lock", None)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def listening_numbers(table: str) -> frozenset[int]:
    """Return each N for which something listens in 127.N.0.0/16, read from the text of /proc/net/tcp."""
    found = set()
    for line in table.splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        octets = bytes.fromhex(local.partition(":")[0])[::-1]
        if state == _LISTENING and octets[0] == 127:  # noqa: PLR2004 - loopback
            found.add(octets[1])
    return frozenset(found)


def _try_lock(path: Path, owner: Path | None) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    if owner is not None:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{owner}\n".encode(), 0)
    return descriptor
