"""Settings as they are written: one file under PSA_* variables under flags, and where each value came from."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from daemon.sources.carets import Source, file_problem
from daemon.sources.nodes import LARGEST_FILE
from daemon.sources.snapshot import Problem
from daemon.sources.tree import Field, Json, Node, Place, locate, parse_here
from daemon.sources.tree import Path as Steps
from daemon.sources.wording import PATTERNS, Complaint, describe, dotted, found, unknown

_START: Final = Place(1, 1, 1)

#: What the patterns of the settings mean, beside those of the kinds.
SENTENCES: Final[Mapping[str, str]] = MappingProxyType({
    r"^[a-z_][a-z0-9_-]{0,31}$": "the name of a user or group: small letters, digits, _ and -",
    r"^[0-9a-fA-F.:\[\]]+:\d{1,5}$": "ADDRESS:PORT with an IP address, such as 127.0.0.1:9633 or [::1]:9633",
    r"^https://[^/\s]+$": "https://HOST:PORT without a path, such as https://pve1:8006",
    r"^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$": "a SHA-256 fingerprint: 32 bytes as AA:BB:…",
    r"^(unix:///\S+|tls://[^/\s]+:\d{1,5})$": "unix:///PATH or tls://HOST:PORT",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Override:
    """A value from outside the file; ``origin`` is the flag or variable that it came from."""

    origin: str
    path: tuple[str, ...]
    value: str


class Layers:
    """What is asked for, with its places. ``problems`` are those of the file itself."""

    def __init__(self, file: Path, data: bytes, overrides: Sequence[Override]) -> None:
        self._source = Source(str(file), data)
        self._overrides = {override.path: override for override in overrides}
        parsed = parse_here(data)
        self.problems = [
            self._at(Place(fault.line, fault.column, fault.width)).problem(fault.message, *fault.notes)
            for fault in parsed.faults
        ]
        self._node = parsed.documents[0] if parsed.documents else Node(_START, {})
        for document in parsed.documents[1:]:
            message = "the settings are one document: this is another one"
            self.problems.append(self._at(document.place).problem(message, 'take out the "---" above it'))
        if not isinstance(self._node.value, Mapping):
            message = f"fields are needed here, found {found(self._node.plain())}"
            self.problems.append(self._at(self._node.place).problem(message, "such as endpoints:"))

    @classmethod
    def read(cls, file: Path, overrides: Sequence[Override], *, may_be_missing: bool) -> "Layers":
        """Read *file*; where that fails, the problem is among ``problems``."""
        try:
            with file.open("rb") as stream:
                data = stream.read(LARGEST_FILE + 1)
        except OSError as exc:
            layers = cls(file, b"", overrides)
            if not (may_be_missing and isinstance(exc, FileNotFoundError)):
                reason = os.strerror(exc.errno) if exc.errno else str(exc)
                layers.problems.append(file_problem(str(file), f"the settings cannot be read: {reason}"))
            return layers
        return cls(file, data, overrides)

    def json(self) -> str:
        """Return all layers in one, as JSON."""
        tree = self._node.plain()
        merged = tree if isinstance(tree, dict) else {}
        for override in self._overrides.values():
            _put(merged, override.path, override.value)
        return json.dumps(merged)

    def complain(self, error: ErrorDetails, root: type[BaseModel]) -> Problem:
        """Return what pydantic's *error* of the model *root* means, where the value was written."""
        return self.problem(_complaint(error, root, self._raw(error["loc"])))

    def problem(self, complaint: Complaint) -> Problem:
        """Return *complaint* with its place: a flag, a variable, or a line of the file."""
        override = self._overrides.get(tuple(str(step) for step in complaint.path))
        if override is not None:
            return file_problem(override.origin, complaint.message, *complaint.notes)
        place = self._place(complaint.path, name=complaint.about_name)
        return self._at(place).problem(complaint.message, *complaint.notes)

    def _raw(self, path: Steps) -> str:
        return self._source.raw(self._place(path))

    def _place(self, path: Steps, *, name: bool = False) -> Place:
        return locate(Field(self._node.place, self._node), path, name=name)

    def _at(self, place: Place) -> "Spot":
        return self._source.spot(place)
