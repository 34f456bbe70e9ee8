"""The files of the watched directory at one moment, read so that none is half-written."""

import asyncio
import hashlib
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from daemon.ports import Clock
from daemon.sources.listing import (
    Identity,
    Listed,
    Listing,
    MovedError,
    RefusedFile,
    Signature,
    UnreadableError,
    list_directory,
    signature_of,
    too_large,
)
from daemon.sources.nodes import LARGEST_FILE
from daemon.sources.ownership import Ownership

#: File systems stamp with a clock of their own that ticks every few ms: a younger file may change unseen.
_TRUSTED_AFTER_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of the directory. ``data`` is None if the caller has what is behind ``digest`` already."""

    path: str
    digest: str
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Scan:
    """One look at the directory. ``unreadable`` says why nothing can be concluded; then the rest is empty.

    ``unsettled`` are files that changed while they were looked at, or that look half-written: look again.
    ``identity`` is the directory's device and inode.
    """

    unreadable: str | None = None
    identity: Identity | None = None
    files: tuple[FoundFile, ...] = ()
    refused: tuple[RefusedFile, ...] = ()
    unsettled: frozenset[str] = frozenset()


class Files(Protocol):
    """A directory that can be looked at as a whole."""

    async def scan(self, known: Mapping[str, str]) -> Scan:
        """Look at all files; *known* is the digest of each file whose content the caller has."""
        ...

    def forget(self) -> None:
        """Read everything again next time, whatever the file system says about changes."""
        ...


class Directory:
    """The real directory. With *ownership*, what others can write is refused.

    A file without a last newline is taken for half-written until it is ``settled_after_s`` seconds old.
    """

    def __init__(
        self,
        root: Path,
        clock: Clock,
        ownership: Ownership | None = None,
        *,
        settled_after_s: float = 1.0,
    ) -> None:
        self._root = root
        self._clock = clock
        self._ownership = ownership
        self._settled_after_s = settled_after_s
        self._digests: dict[str, tuple[Signature, str]] = {}

    async def scan(self, known: Mapping[str, str]) -> Scan:
        """Look at all files, in a thread: a file server that hangs must not stop the loop."""
        return await asyncio.to_thread(self.scan_now, known)

    def forget(self) -> None:
        """Read everything again next time."""
        self._digests = {}

    def scan_now(self, known: Mapping[str, str]) -> Scan:
        """Look at all files: list them, read what is new, list them again; what differs is not settled."""
        try:
            first = list_directory(self._root, self._ownership)
            read = {path: self._read(path, listed, known) for path, listed in first.files.items()}
            second = list_directory(self._root, self._ownership)
        except UnreadableError as exc:
            return Scan(unreadable=str(exc))
        except MovedError as exc:
            return Scan(unsettled=frozenset({str(exc)}))
        except OSError as exc:
            # A file server may answer anything, a stale handle among it: no file is to blame.
            return Scan(unreadable=f"{self._root} cannot be read: {exc.strerror}")
        if first.identity != second.identity:
            return Scan(unsettled=frozenset({str(self._root)}))
        refused = {**first.refused, **{f.path: f for f in read.values() if isinstance(f, RefusedFile)}}
        return Scan(
            identity=first.identity,
            files=tuple(found for _, found in sorted(read.items()) if isinstance(found, FoundFile)),
            refused=tuple(found for _, found in sorted(refused.items())),
            unsettled=frozenset(path for path, found in read.items() if found is None)
            | _moved(first, second),
        )

    def _read(self, path: str, listed: Listed, known: Mapping[str, str]) -> FoundFile | RefusedFile | None:
        """Return the file; None if it changed since it was listed, or looks half-written."""
        size = listed.signature[2]
        if size > LARGEST_FILE:
            return too_large(path, size)
        signature, digest = self._digests.get(path, (None, ""))
        if signature == listed.signature and known.get(path) == digest:
            return FoundFile(path, digest, None)
        try:
            data = _content(listed)
        except FileNotFoundError:
            return None
        except OSError as exc:
            return RefusedFile(
                path, f"the file cannot be read: {exc.strerror}", _reading_note(listed.real, exc)
            )
        age_s = self._clock.now().timestamp() - max(listed.signature[3:5]) / 1e9
        if data is None or (0 <= age_s < self._settled_after_s and not data.endswith(b"\n")):
            return None
        digest = hashlib.sha256(data).hexdigest()
        if age_s > _TRUSTED_AFTER_S:
            self._digests[path] = (listed.signature, digest)
        return FoundFile(path, digest, None if known.get(path) == digest else data)


def _moved(first: Listing, second: Listing) -> frozenset[str]:
    """Return the files that came, went or changed between two listings."""
    paths = first.files.keys() | second.files.keys()
    return frozenset(path for path in paths if first.files.get(path) != second.files.get(path))


def _content(listed: Listed) -> bytes | None:
    """Return the content of a file, None if it is not, or no longer, the one that was listed."""
    # Without O_NONBLOCK, opening a FIFO that took the file's place would wait for a writer for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(listed.real, flags)
    with os.fdopen(descriptor, "rb") as file:
        if signature_of(os.fstat(descriptor)) != listed.signature:
            return None
        data = file.read(LARGEST_FILE + 1)
        return data if signature_of(os.fstat(descriptor)) == listed.signature else None


def _reading_note(path: Path, exc: OSError) -> tuple[str, ...]:
    if isinstance(exc, PermissionError):
        return (f"to put it right: chmod a+r {shlex.quote(str(path))}",)
    return ()
