"""Settings as they are written: a file under PSA_* variables under flags, and where each value came from."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeGuard

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from daemon.sources.carets import Source, Spot, file_problem
from daemon.sources.nodes import LARGEST_FILE
from daemon.sources.snapshot import Problem
from daemon.sources.tree import Field, Json, Node, Place, locate, parse_here
from daemon.sources.tree import Path as Steps
from daemon.sources.wording import Complaint, describe, dotted, found, unknown

_START: Final = Place(1, 1, 1)
#: Steps before pydantic's name of the variant: ``endpoints``, the endpoint's name.
_BEFORE_VARIANT: Final = 2

#: What the patterns of the settings mean, beside those of the kinds.
SENTENCES: Final[Mapping[str, str]] = MappingProxyType({
    r"^[a-z_][a-z0-9_-]{0,31}$": "the name of a user or group: small letters, digits, _ and -",
    r"^[0-9a-fA-F.:\[\]]+:\d{1,5}$": "ADDRESS:PORT with an IP address, such as 127.0.0.1:9633 or [::1]:9633",
    r"^https://[^/\s]+$": "https://HOST:PORT without a path, such as https://pve1:8006",
    r"^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$": "a SHA-256 fingerprint: 32 bytes as AA:BB:…",
    r"^(unix:///\S+|tls://[^/\s]+:\d{1,5})$": "unix:///PATH or tls://HOST:PORT",
    r"^(unix:///\S{1,90}|udp://127\.\d{1,3}\.\d{1,3}\.\d{1,3}:\d{1,5})$": (
        "unix:///PATH of 90 characters at most, or udp://127.0.0.1:PORT"
    ),
    r"^[A-Za-z0-9.:\[\]_-]{1,255}:\d{1,5}$": "HOST:PORT, such as 10.0.30.10:5432",
    r"^https?://[^/\s@]+$": "http://HOST:PORT or https://HOST:PORT without a path",
    r"^[A-Za-z0-9_.@-]{1,63}$": "a name of letters, digits and . _ @ -",
    r"^[a-z][a-z0-9_-]{0,63}$": "the name of a secret: small letters, digits, _ and -, a letter first",
    r"^https?://[^\s]{1,500}$": "a URL such as https://chat.example.com/hooks/psa",
    r"^[A-Za-z_][A-Za-z0-9_]{0,63}$": "letters, digits and _, not a digit first, such as CI",
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

    def complain(self, errors: Sequence[ErrorDetails], shape: "Shape") -> list[Problem]:
        """Return what pydantic's *errors* mean, where the values were written."""
        return [self._complain(error, shape) for error in errors if not _follows(error, errors)]

    def _complain(self, error: ErrorDetails, shape: "Shape") -> Problem:
        path = shape.written(error["loc"])
        return self.problem(shape.complaint(error, self._source.raw(self._place(path))))

    def problem(self, complaint: Complaint) -> Problem:
        """Return *complaint* with its place: a flag, a variable, or a line of the file."""
        override = self._overrides.get(tuple(str(step) for step in complaint.path))
        if override is not None:
            return file_problem(override.origin, complaint.message, *complaint.notes)
        place = self._place(complaint.path, name=complaint.about_name)
        return self._at(place).problem(complaint.message, *complaint.notes)

    def _place(self, path: Steps, *, name: bool = False) -> Place:
        return locate(Field(self._node.place, self._node), path, name=name)

    def _at(self, place: Place) -> Spot:
        return self._source.spot(place)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the settings look like; ``variants`` are the models below *one_of*, by their ``type``.

    ``named`` are the fields that map names to one model.
    """

    model: type[BaseModel]
    one_of: str
    variants: Mapping[str, type[BaseModel]]
    named: Mapping[str, type[BaseModel]]

    def written(self, path: Steps) -> Steps:
        """Return *path* as it stands in the file: without the name of the variant that pydantic puts in."""
        return (*path[:2], *path[3:]) if self._variant(path) is not None else path

    def _variant(self, path: Steps) -> type[BaseModel] | None:
        known = len(path) > _BEFORE_VARIANT and path[0] == self.one_of
        return self.variants.get(str(path[_BEFORE_VARIANT])) if known else None

    def complaint(self, error: ErrorDetails, raw: str) -> Complaint:
        """Return what *error* means to the writer of the file; *raw* is what stands there."""
        path = error["loc"]
        if error["type"] == "extra_forbidden" and len(path) == 1:
            notes = unknown(str(path[0]), tuple(sorted(_fields(self.model))))
            return Complaint(path, f'there is no field "{path[0]}"', notes, about_name=True)
        special = self._special(error)
        if special is not None:
            return special
        head, below, model = self._scope(path)
        told = describe({**error, "loc": below}, model, dotted(str(head[0]), head[1:]), raw)
        notes = tuple(_in_words(note) for note in told.notes)
        return Complaint((*head, *told.path), told.message, notes, about_name=told.about_name)

    def _scope(self, path: Steps) -> tuple[Steps, Steps, type[BaseModel]]:
        """Return where the innermost model of its own begins, what is below it, and that model."""
        variant = self._variant(path)
        if variant is not None:
            return path[:2], path[3:], variant
        if len(path) >= _BEFORE_VARIANT and str(path[0]) in self.named and "[key]" not in path[:3]:
            return path[:2], path[2:], self.named[str(path[0])]
        part = _fields(self.model).get(str(path[0])) if len(path) > 1 else None
        return path[:1], path[1:], part if part is not None else self.model

    def _special(self, error: ErrorDetails) -> Complaint | None:
        """Return the complaint for errors that only settings have."""
        path, context, value = self.written(error["loc"]), error.get("ctx", {}), error["input"]
        where = dotted(str(path[0]), path[1:])
        match error["type"]:
            case "union_tag_not_found":
                note = f"type: {' or '.join(self.variants)}"
                return Complaint(path, f'{where}: the field "type" is missing', (note,))
            case "union_tag_invalid":
                tag, notes = str(context["tag"]), unknown(str(context["tag"]), tuple(self.variants))
                return Complaint((*path, "type"), f"{where}.type: {found(tag)} is not allowed", notes)
            case "literal_error":
                allowed = tuple(re.findall(r"'([^']*)'", str(context["expected"])))
                return Complaint(
                    path, f"{where}: {found(value)} is not allowed", unknown(str(value), allowed)
                )
            case "value_error" if isinstance(value, list | dict):
                return Complaint(path, f"{where}: {context['error']}")
            case _:
                return None


def _follows(error: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """Whether a list is only too short because its bad entries were not counted."""
    path = error["loc"]
    return error["type"] == "too_short" and any(
        len(other["loc"]) > len(path) and other["loc"][: len(path)] == path for other in errors
    )


def _fields(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """Return the fields as files spell them, each with its model if it has one."""
    return {
        info.alias or name: info.annotation if _is_model(info.annotation) else None
        for name, info in model.model_fields.items()
    }


def _is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _in_words(note: str) -> str:
    pattern = note.removeprefix("allowed: ")
    return f"allowed: {SENTENCES[pattern]}" if pattern in SENTENCES else note


def _put(tree: dict[str, Json], where: tuple[str, ...], value: str) -> None:
    for name in where[:-1]:
        inner = tree.setdefault(name, {})
        if inner is None:
            inner = tree[name] = {}
        if not isinstance(inner, dict):
            return  # what stands there is no mapping, and is refused as such
        tree = inner
    tree[where[-1]] = value
