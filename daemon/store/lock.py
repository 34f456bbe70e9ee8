"""One daemon a state directory: a lock that dies with its holder."""

import fcntl
import os
from pathlib import Path


class HeldError(Exception):
    """Another daemon works with this state directory."""


class DirectoryLock:
    """Holds ``lock`` in *directory* until closed; the file says whose process it is."""

    def __init__(self, directory: Path) -> None:
        """Take the lock; raise HeldError naming the holder, or OSError where the file cannot be made."""
        self._file = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise HeldError(f"{directory} is in use by another psa-reconciler, pid {holder}") from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Let another daemon have the directory."""
        os.close(self._file)
