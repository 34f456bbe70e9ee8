"""Documents with places → objects, or everything that is wrong with them. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from pydantic import ValidationError

from crds.kinds import FILE_KINDS, INTERNAL_KINDS
from crds.meta import API_VERSION, Key, Metadata, Model, Origin, Selection
from daemon.sources.carets import Source, Spot
from daemon.sources.snapshot import Declared, Problem
from daemon.sources.syntax import Fault
from daemon.sources.tree import Field, Node, Parsed, Path, Place, lines_below, locate
from daemon.sources.wording import Complaint, describe, found, unknown

ModelT = TypeVar("ModelT", bound=Model)

_TOP: Final = ("apiVersion", "kind", "metadata", "spec")
#: A file with more errors than this is a wrong file, not a file with mistakes.
_MOST_PROBLEMS: Final = 50
#: So many are put into words, in the order of the documents; of those beyond only the number is said.
_MOST_WORDED: Final = 500


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document whose kind and name are known; ``declared`` is None if anything else in it is wrong.

    ``claims`` are the real things that it says are its own, ``selections`` the endpoints of the settings that
    it selects, each with the place where it says so.
    """

    key: Key
    spot: Spot
    declared: Declared | None
    claims: tuple[tuple[str, Spot], ...] = ()
    selections: tuple[tuple[Selection, Spot], ...] = ()


@dataclass(frozen=True, slots=True)
class FileContent:
    """What one file declares. ``broken``: something in it could not be attributed to an object."""

    file: str
    candidates: tuple[Candidate, ...] = ()
    problems: tuple[Problem, ...] = ()
    broken: bool = False


def read_objects(file: str, data: bytes, parsed: Parsed) -> FileContent:
    """Return the objects of a file and all its problems, in the order of its lines.

    A file with a syntax error declares nothing, but what is wrong before and behind it is said all the same.
    """
    source = Source(file, data)
    faults = [_of_fault(source, fault) for fault in parsed.faults]
    room = _Room(_MOST_WORDED)
    documents = [_Document(source, node, room) for node in parsed.documents]
    candidates = [candidate for document in documents if (candidate := document.candidate()) is not None]
    problems = faults + [problem for document in documents for problem in document.problems]
    problems.sort(key=lambda problem: (problem.line, problem.column))
    broken = bool(faults) or len(candidates) < len(documents)
    if faults:
        candidates = [replace(candidate, declared=None, claims=(), selections=()) for candidate in candidates]
    return FileContent(file, tuple(candidates), _capped(problems, room.unsaid), broken)


def _of_fault(source: Source, fault: Fault) -> Problem:
    return source.spot(Place(fault.line, fault.column, fault.width)).problem(fault.message, *fault.notes)


def _capped(problems: list[Problem], unsaid: int) -> tuple[Problem, ...]:
    """Return the first problems; the last one tells how many more there are, *unsaid* ones among them."""
    if len(problems) <= _MOST_PROBLEMS and not unsaid:
        return tuple(problems)
    kept = problems[:_MOST_PROBLEMS]
    more = f"and {len(problems) - len(kept) + unsaid} more errors in this file"
    last = replace(kept[-1], message=f"{kept[-1].message}; {more}", rendered=f"{kept[-1].rendered}\n{more}")
    return (*kept[:-1], last)


@dataclass(slots=True)
class _Room:
    """How many problems of a file are still put into words, which takes a third of a millisecond each."""

    left: int
    unsaid: int = 0

    def take(self) -> bool:
        """Return whether there is room for one more; if not, it is counted."""
        has_room = self.left > 0
        self.left -= has_room
        self.unsaid += not has_room
        return has_room


class _Document:
    """One document while it is read; ``problems`` grows, as long as the file has *room* for more."""

    def __init__(self, source: Source, node: Node, room: _Room) -> None:
        self.problems: list[Problem] = []
        self._is_wrong = False
        self._room = room
        self._source = source
        self._node = node
        self._key: Key | None = None

    def candidate(self) -> Candidate | None:
        """Return the object, or None if not even its kind and name are known."""
        if not isinstance(self._node.value, Mapping) or not self._node.value.keys() & set(_TOP):
            message = f"an object is needed, found {found(self._node.plain())}"
            self._problem(self._node.place, message, f"an object has the fields {', '.join(_TOP)}")
            return None
        self._check_top(self._node.value)
        kind = self._kind(self._node.value.get("kind"))
        self._key = _key(kind, self._node)
        metadata = self._model(Metadata, "metadata")
        spec = self._model(FILE_KINDS[kind], "spec") if kind is not None else None
        self.problems = [replace(problem, key=self._key) for problem in self.problems]
        if self._key is None:
            return None
        spot = self._source.spot(_name_place(self._node))
        if self._is_wrong or metadata is None or spec is None:
            return Candidate(self._key, spot, None)
        declared = Declared(
            key=self._key,
            spec=spec,
            labels=metadata.labels,
            annotations=metadata.annotations,
            origin=Origin(self._source.file, self._node.place.line),
            lines=dict(lines_below(self._node, "")),
        )
        return Candidate(self._key, spot, declared, self._claims(declared), self._selections(declared))

    def _claims(self, declared: Declared) -> tuple[tuple[str, Spot], ...]:
        return tuple(
            (claim.target, self._source.spot(self._at(claim.path[0], claim.path[1:])))
            for claim in declared.spec.claims(declared.key.name)
        )

    def _selections(self, declared: Declared) -> tuple[tuple[Selection, Spot], ...]:
        return tuple(
            (selection, self._source.spot(self._at(selection.path[0], selection.path[1:])))
            for selection in declared.spec.selects()
        )

    def _check_top(self, fields: Mapping[str, Field]) -> None:
        for name, field in fields.items():
            if name == "status":
                self._problem(field.place, 'the field "status" is reported, not declared', "leave it out")
            elif name not in _TOP:
                self._problem(field.place, f'there is no field "{name}"', *unknown(name, _TOP))
        for name in _TOP:
            if name not in fields:
                self._problem(self._node.place, f'the field "{name}" is missing', *_needed(name))
        version = fields.get("apiVersion")
        if version is not None and version.node.value != API_VERSION:
            message = f"apiVersion: {found(version.node.plain())} is not allowed"
            self._problem(version.caret(), message, f"allowed: {API_VERSION}")

    def _kind(self, field: Field | None) -> str | None:
        """Return the kind if files may declare it."""
        if field is None:
            return None
        kind = field.node.plain()
        if isinstance(kind, str) and kind in FILE_KINDS:
            return kind
        if isinstance(kind, str) and kind in INTERNAL_KINDS:
            note = f"it is made by the object that owns it; files declare: {', '.join(FILE_KINDS)}"
            self._problem(field.caret(), f"kind: a {kind} cannot be declared in a file", note)
            return None
        notes = unknown(str(kind), tuple(FILE_KINDS)) if isinstance(kind, str) else _needed("kind")
        self._problem(field.caret(), f"kind: there is no kind {found(kind)} in this version", *notes)
        return None

    def _model(self, model: type[ModelT], name: str) -> ModelT | None:
        """Return the field *name* as a *model*, or None after saying what is wrong."""
        field = self._node.field(name)
        if field is None:
            return None
        try:
            # As JSON and strict: "yes" is no truth value and "2" no number, while lists and words still fit.
            return model.model_validate_json(
                json.dumps(field.node.plain()), strict=True, by_alias=True, by_name=False
            )
        except ValidationError as exc:
            errors = exc.errors(include_url=False)
        for error in errors:
            if self._takes_one_more():
                raw = self._source.raw(self._at(name, error["loc"]))
                self._complain(name, describe(error, model, name, raw))
        return None

    def _complain(self, root: str, complaint: Complaint) -> None:
        place = self._at(root, complaint.path, name=complaint.about_name)
        self.problems.append(self._source.spot(place).problem(complaint.message, *complaint.notes))

    def _at(self, root: str, path: Path, *, name: bool = False) -> Place:
        field = self._node.field(root)
        return self._node.place if field is None else locate(field, path, name=name)

    def _problem(self, place: Place, message: str, *notes: str) -> None:
        if self._takes_one_more():
            self.problems.append(self._source.spot(place).problem(message, *notes))

    def _takes_one_more(self) -> bool:
        self._is_wrong = True
        return self._room.take()


def _key(kind: str | None, document: Node) -> Key | None:
    """Return the object's key if its kind and name are known, whatever else is wrong."""
    metadata = document.field("metadata")
    name = metadata.node.field("name") if metadata is not None else None
    if kind is None or name is None or not isinstance(name.node.value, str):
        return None
    try:
        return Key.parse(f"{kind}/{name.node.value}")
    except ValueError:
        return None


def _name_place(document: Node) -> Place:
    metadata = document.field("metadata")
    return document.place if metadata is None else locate(metadata, ("name",))


def _needed(name: str) -> tuple[str, ...]:
    return {
        "apiVersion": (f"add: apiVersion: {API_VERSION}",),
        "kind": (f"allowed: {', '.join(FILE_KINDS)}",),
        "metadata": ("add: metadata: {name: …}",),
        "spec": ("add what is asked for under spec:",),
    }[name]
