"""Bytes of a file → its documents as plain lists with the place of every key and value, or what is wrong.

Runs in the parser child, so it imports nothing heavy. It drives libyaml event by event: composing recurses in
C, and 200 kB of ``[`` would end the process. The lists go through a pipe as JSON; ``tree`` gives them types.
"""

import re
from collections.abc import Iterator
from typing import Final

from yaml import YAMLError
from yaml._yaml import CParser
from yaml.error import MarkedYAMLError
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from daemon.sources.scalars import NumberError, Scalar, resolve
from daemon.sources.syntax import Complaint, Fault, explain

#: A node: ``[line, column, width, kind, payload]``, kind 0 a scalar, 1 a sequence of nodes, 2 a mapping of
#: ``[line, column, width, key, node]``. Lines and columns count from 1; a value of several lines has width 1.
Wire = list["Wire"] | Scalar
SCALAR: Final = 0
SEQUENCE: Final = 1
MAPPING: Final = 2

LARGEST_FILE: Final = 256 * 1024
DEEPEST: Final = 32
MOST_VALUES: Final = 30_000
MOST_ALIASES: Final = 50
MOST_EXPANDED: Final = 10_000
MOST_FAULTS: Final = 50

_LINE_BREAK: Final = re.compile(r"\r\n|\r|\n")
#: What YAML forbids, and the three line breaks that YAML 1.1 and 1.2 count differently.
_FORBIDDEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]"
)
_STR_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:str"})
_CORE_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


class _GivenUpError(Exception):
    """The rest of the file cannot be understood."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def text_of(data: bytes) -> str:
    """Return the text of a file for showing it: wrong bytes become U+FFFD, a byte order mark is dropped."""
    return data.decode("utf-8", "replace").removeprefix("\ufeff")


def lines_of(text: str) -> list[str]:
    """Return the lines as libyaml counts them."""
    return _LINE_BREAK.split(text)


def read_documents(data: bytes) -> tuple[list[Wire], list[Fault]]:
    """Return the documents that are not empty, and all faults; documents before a syntax error are kept."""
    fault = _unfit(data)
    if fault is not None:
        return [], [fault]
    text = text_of(data)
    walk = _Walk(text)
    documents: list[Wire] = []
    try:
        for document in walk.documents():
            documents.append(document)  # noqa: PERF402 - what came before an error is kept
    except _GivenUpError as exc:
        walk.faults.append(exc.fault)
    except MarkedYAMLError as exc:
        walk.faults.append(explain(_complaint(exc), lines_of(text)))
    except YAMLError as exc:
        walk.faults.append(Fault(1, 1, 1, f"not YAML: {exc}"))
    return documents, walk.faults


def _complaint(exc: MarkedYAMLError) -> Complaint:
    mark, context = exc.problem_mark, exc.context_mark
    return Complaint(
        problem=exc.problem or "",
        line=mark.line if mark else 0,
        column=mark.column if mark else 0,
        context=exc.context or "",
        context_line=context.line if context else None,
        context_column=context.column if context else 0,
    )


def _unfit(data: bytes) -> Fault | None:
    """Return the fault if these are not the bytes of a text file of ours."""
    if len(data) > LARGEST_FILE:
        return Fault(1, 1, 1, f"the file has {len(data)} bytes: at most {LARGEST_FILE} (256 KiB) are read")
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return Fault(1, 1, 1, "the file is UTF-16: UTF-8 is needed", ("save it as UTF-8",))
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as exc:
        line, column = _place(data[: exc.start].decode("utf-8").removeprefix("\ufeff"))
        message = f"byte 0x{data[exc.start]:02x} is not UTF-8"
        return Fault(line, column, 1, message, ("save the file as UTF-8",))
    found = _FORBIDDEN.search(text)
    if found is None:
        return None
    line, column = _place(text[: found.start()])
    message = f"the character U+{ord(found[0]):04X} is not allowed in YAML"
    note = f'write it as "\\u{ord(found[0]):04x}" in double quotes if it is meant'
    return Fault(line, column, 1, message, (note,))


def _place(before: str) -> tuple[int, int]:
    lines = lines_of(before)
    return len(lines), len(lines[-1]) + 1


class _Walk:
    """One pass over the events of a file. ``faults`` are those after which reading went on."""

    def __init__(self, text: str) -> None:
        self.faults: list[Fault] = []
        self._parser = CParser(text)
        self._values = 0
        self._aliases = 0
        self._expanded = 0
        self._anchors: dict[str, list[Wire] | None] = {}

    def documents(self) -> Iterator[Wire]:
        while not isinstance(event := self._next(), StreamEndEvent):
            if isinstance(event, DocumentStartEvent):
                self._anchors = {}
                node = self._node(self._next(), 1)
                if node[3:] != [SCALAR, None]:
                    yield node
                while not isinstance(self._next(), DocumentEndEvent):
                    pass

    def _next(self) -> Event:
        event = self._parser.get_event()
        return StreamEndEvent() if event is None else event

    def _fault(self, event: Event, message: str, *notes: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(*_where(event), message, notes))

    def _node(self, event: Event, depth: int) -> list[Wire]:
        self._values += 1
        if self._values > MOST_VALUES:
            message = f"more than {MOST_VALUES} values in one file"
            raise _GivenUpError(Fault(*_where(event), message, ("split the file",)))
        if isinstance(event, AliasEvent):
            return self._alias(event, depth)
        anchor = event.anchor if isinstance(event, NodeEvent) else None
        if anchor is not None:
            self._anchors[anchor] = None  # until it is complete, so that it cannot hold itself
        if isinstance(event, ScalarEvent):
            node: list[Wire] = [*_where(event), SCALAR, self._scalar(event)]
        elif isinstance(event, CollectionStartEvent):
            node = self._collection(event, depth)
        else:  # pragma: no cover - libyaml's grammar has no other event here
            raise _GivenUpError(Fault(*_where(event), "not YAML"))
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _collection(self, event: CollectionStartEvent, depth: int) -> list[Wire]:
        if depth > DEEPEST:
            raise _GivenUpError(Fault(*_where(event), f"more than {DEEPEST} levels inside each other"))
        if event.tag is not None and event.tag not in _CORE_TAGS:
            self._tag(event, event.tag)
        if isinstance(event, MappingStartEvent):
            return [*_where(event), MAPPING, self._mapping(depth)]
        items: list[Wire] = []
        while not isinstance(item := self._next(), SequenceEndEvent):
            items.append(self._node(item, depth + 1))
        return [*_where(event), SEQUENCE, items]

    def _mapping(self, depth: int) -> list[Wire]:
        pairs: list[Wire] = []
        first: dict[str, int] = {}
        while isinstance(event := self._next(), NodeEvent):
            key = self._key(event, depth)
            value = self._node(self._next(), depth + 1)
            if key is None:
                continue
            line, column, width = _where(event)
            if key in first:
                message = f'"{key}" stands here twice, for the first time in line {first[key]}'
                self._fault(event, message, "remove one of the two")
                continue
            first[key] = line
            pairs.append([line, column, width, key, value])
        return pairs

    def _key(self, event: NodeEvent, depth: int) -> str | None:
        """Return the text of a key as it is written: ``8080`` and ``on`` are names like any other."""
        if not isinstance(event, ScalarEvent):
            self._node(event, depth + 1)
            self._fault(event, "the name of a field must be a word, found a list, a mapping or an alias")
            return None
        if event.anchor is not None:
            self._anchors[event.anchor] = [*_where(event), SCALAR, event.value]
        if not event.value:
            self._fault(event, "the name of a field is missing here", 'write "field: value"')
            return None
        if event.value == "<<" and not event.style:
            self._fault(event, "merge keys (<<) are not part of YAML 1.2", "write the fields out")
            return None
        return event.value

    def _scalar(self, event: ScalarEvent) -> Scalar:
        if event.tag is not None:
            if event.tag not in _STR_TAGS:
                self._tag(event, event.tag)
            return event.value
        if event.style:
            return event.value
        try:
            return resolve(event.value)
        except NumberError as exc:
            self._fault(event, str(exc), "put it in quotes if it is meant as text")
            return event.value

    def _tag(self, event: Event, tag: str) -> None:
        shown = tag.replace("tag:yaml.org,2002:", "!!")
        note = "leave it out, or put the value in quotes"
        self._fault(event, f"tags such as {shown} are not understood here", note)

    def _alias(self, event: AliasEvent, depth: int) -> list[Wire]:
        self._aliases += 1
        if self._aliases > MOST_ALIASES:
            message = f"more than {MOST_ALIASES} aliases (*name) in one file"
            raise _GivenUpError(Fault(*_where(event), message, ("write the values out",)))
        name = event.anchor or ""
        if name not in self._anchors:
            note = f'put the value in quotes if it is meant as text: "*{name}"'
            raise _GivenUpError(Fault(*_where(event), f"*{name}: there is no &{name} above it", (note,)))
        node = self._anchors[name]
        if node is None:
            raise _GivenUpError(Fault(*_where(event), f"*{name} would contain itself"))
        self._expand(event, node, depth)
        return node

    def _expand(self, event: Event, node: list[Wire], depth: int) -> None:
        """Count what the alias stands for, in nodes and levels; give up when it is too much."""
        pending: list[tuple[Wire, int]] = [(node, depth)]
        while pending:
            current, level = pending.pop()
            self._expanded += 1
            if self._expanded > MOST_EXPANDED or level > DEEPEST + 1:
                message = f"aliases stand for more than {MOST_EXPANDED} values or {DEEPEST} levels"
                raise _GivenUpError(Fault(*_where(event), message, ("write the values out",)))
            pending.extend((child, level + 1) for child in _children(current))


def _children(node: Wire) -> Iterator[Wire]:
    if isinstance(node, list) and isinstance(payload := node[4], list):
        for item in payload:
            yield item[4] if node[3] == MAPPING and isinstance(item, list) else item


def _where(event: Event) -> tuple[int, int, int]:
    start, end = event.start_mark, event.end_mark
    if start is None or end is None:
        return 1, 1, 1
    same_line = start.line == end.line and isinstance(event, ScalarEvent)
    return start.line + 1, start.column + 1, max(1, end.column - start.column) if same_line else 1
