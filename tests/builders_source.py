"""Desired-state files for tests, and a directory in memory that changes when a test says so."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from daemon.sources.directory import FoundFile, Scan
from daemon.sources.hints import Hint
from daemon.sources.listing import Identity, RefusedFile
from daemon.sources.objects import FileContent, read_objects
from daemon.sources.tree import parse_here

TEMPLATE = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"


def container_yaml(name: str = "psa-redis", ctid: int = 210, **fields: object) -> str:
    """Return the file of a small container; keywords are further lines of its spec."""
    more = "".join(f"  {field}: {value}\n" for field, value in fields.items())
    return (
        "apiVersion: psa.platform/v1\n"
        "kind: Container\n"
        f"metadata: {{name: {name}}}\n"
        "spec:\n"
        "  endpoint: pve\n"
        f"  ctid: {ctid}\n"
        "  node: pve1\n"
        f"  template: {TEMPLATE}\n{more}"
    )


def content_of(text: str | bytes, file: str = "web.yaml") -> FileContent:
    """Return what a file with this text declares."""
    data = text.encode() if isinstance(text, str) else text
    return read_objects(file, data, parse_here(data))


def rendered(text: str | bytes, file: str = "web.yaml") -> str:
    """Return everything that is wrong with a file, as people see it."""
    return "\n".join(problem.rendered for problem in content_of(text, file).problems)


def put(path: Path, text: str | bytes) -> None:
    """Write a file beside its place and rename it there, as a careful writer does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(text.encode() if isinstance(text, str) else text)
    beside.rename(path)


class MemoryFiles:
    """A directory in memory with the opinions of the real one: an empty one is unreadable.

    ``unsettled`` names files that are being written; each look takes one item of it.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = dict(files)
        self.refused: tuple[RefusedFile, ...] = ()
        self.unreadable: str | None = None
        self.identity: Identity = (1, 1)
        self.unsettled: list[frozenset[str]] = []
        self.looks = 0
        self.forgotten = 0

    async def scan(self, known: Mapping[str, str]) -> Scan:
        self.looks += 1
        unsettled = self.unsettled.pop(0) if self.unsettled else frozenset[str]()
        if self.unreadable is not None:
            return Scan(unreadable=self.unreadable)
        if not self.files:
            return Scan(unreadable="it is empty")
        return Scan(
            identity=self.identity,
            files=tuple(self._found(path, text, known) for path, text in sorted(self.files.items())),
            refused=self.refused,
            unsettled=unsettled,
        )

    def forget(self) -> None:
        self.forgotten += 1

    def _found(self, path: str, text: str, known: Mapping[str, str]) -> FoundFile:
        digest = hashlib.sha256(text.encode()).hexdigest()
        return FoundFile(path, digest, None if known.get(path) == digest else text.encode())


class ManualHints:
    """Hints that a test gives."""

    def __init__(self) -> None:
        self._hint: Hint | None = None
        self.ended = False

    def begin(self, hint: Hint) -> None:
        self._hint = hint

    def end(self) -> None:
        self.ended = True

    def give(self) -> None:
        """Say that something may have changed."""
        assert self._hint is not None, "nobody listens yet"
        self._hint()
