"""The documents of a file with the place of every key and value, typed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from daemon.sources.nodes import MAPPING, SCALAR, SEQUENCE, Wire, read_documents
from daemon.sources.scalars import Scalar
from daemon.sources.syntax import Fault

Json = Scalar | list["Json"] | dict[str, "Json"]
Path = tuple[str | int, ...]


class TreeError(ValueError):
    """What came from the parser child is not of its form."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: line and column from 1, and how many characters the caret underlines."""

    line: int
    column: int
    width: int


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place. ``value`` is a scalar, a tuple of nodes, or a mapping of fields by name."""

    place: Place
    value: "Scalar | tuple[Node, ...] | Mapping[str, Field]"

    def plain(self) -> Json:
        """Return the value without places."""
        if isinstance(self.value, tuple):
            return [item.plain() for item in self.value]
        if isinstance(self.value, Mapping):
            return {name: field.node.plain() for name, field in self.value.items()}
        return self.value

    def field(self, name: str) -> "Field | None":
        """Return the field *name* of a mapping, None if there is none or this is no mapping."""
        return self.value.get(name) if isinstance(self.value, Mapping) else None


@dataclass(frozen=True, slots=True)
class Field:
    """A value under a name; ``place`` is the name's."""

    place: Place
    node: Node

    def caret(self) -> Place:
        """Return what to underline for the value: a scalar itself, of anything larger the name."""
        return self.node.place if not isinstance(self.node.value, (tuple, Mapping)) else self.place


@dataclass(frozen=True, slots=True)
class Parsed:
    """What the parser made of a file; with faults, the documents are those that could still be read.

    ``is_cut``: the parser's time or life was over before the file was. Another time it may be read.
    """

    documents: tuple[Node, ...] = ()
    faults: tuple[Fault, ...] = ()
    is_cut: bool = False


def parse_here(data: bytes) -> Parsed:
    """Parse in this process: for the command line and the simulator."""
    documents, faults = read_documents(data)
    return Parsed(tuple(_node(document) for document in documents), tuple(faults))


def parsed_from(reply: bytes) -> Parsed:
    """Return what the child's *reply* says; raise TreeError if it is not a reply."""
    try:
        documents, faults = json.loads(reply)
        return Parsed(tuple(_node(node) for node in documents), tuple(_fault(*fault) for fault in faults))
    except (ValueError, TypeError, RecursionError) as exc:
        raise TreeError(f"the parser's answer is not understood: {exc}") from exc


def _fault(line: int, column: int, width: int, message: str, notes: list[str]) -> Fault:
    return Fault(line, column, width, message, tuple(notes))


def _node(wire: Wire) -> Node:
    match wire:
        case [int(line), int(column), int(width), int(kind), payload]:
            return Node(Place(line, column, width), _value(kind, payload))
        case _:
            raise TreeError("not a node")


def _value(kind: int, payload: Wire) -> "Scalar | tuple[Node, ...] | Mapping[str, Field]":
    if kind == SCALAR and not isinstance(payload, list):
        return payload
    if kind == SEQUENCE and isinstance(payload, list):
        return tuple(_node(item) for item in payload)
    if kind == MAPPING and isinstance(payload, list):
        return dict(_field(pair) for pair in payload)
    raise TreeError("not a node")


def _field(wire: Wire) -> tuple[str, Field]:
    match wire:
        case [int(line), int(column), int(width), str(name), node]:
            return name, Field(Place(line, column, width), _node(node))
        case _:
            raise TreeError("not a field")


def lines_below(node: Node, path: str) -> Iterator[tuple[str, int]]:
    """Yield the dotted path and the line of every field and list entry below *node*."""
    if isinstance(node.value, Mapping):
        for name, field in node.value.items():
            below = f"{path}.{name}" if path else name
            yield below, field.place.line
            yield from lines_below(field.node, below)
    elif isinstance(node.value, tuple):
        for index, item in enumerate(node.value):
            yield f"{path}.{index}", item.place.line
            yield from lines_below(item, f"{path}.{index}")


def locate(root: Field, path: Path, *, name: bool = False) -> Place:
    """Return what to underline for the value at *path* below *root*, or for its nearest parent there is.

    With *name*, the field's name is meant and not its value.
    """
    place, node = root.caret(), root.node
    for step in path:
        if isinstance(step, str) and (found := node.field(step)) is not None:
            place, node = found.place if name else found.caret(), found.node
        elif isinstance(step, int) and isinstance(node.value, tuple) and step < len(node.value):
            node = node.value[step]
            place = node.place
        else:
            break
    return place
