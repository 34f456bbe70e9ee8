"""What one look at the watched directory found, as one value."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from crds.meta import Key, Origin, Spec


@dataclass(frozen=True, slots=True)
class Declared:
    """One object as a file declares it. ``lines`` maps each field's dotted path to its line, from 1."""

    key: Key
    spec: Spec
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    origin: Origin
    lines: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at one place of a file; line and column count from 1.

    ``rendered`` is the whole text for people: place, message, the line with a caret, and what is allowed.
    """

    file: str
    line: int
    column: int
    message: str
    rendered: str
    key: Key | None = None

    @property
    def sentence(self) -> str:
        """Place and message in one line: for conditions and events, which have no room for the text."""
        place, error, _ = self.rendered.partition(": error: ")
        return f"{place}{error}{self.message}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The directory at one moment.

    ``unreadable`` says why nothing can be concluded (missing, empty, replaced …); then the rest is empty.
    ``refused`` holds objects that stand in files but are invalid or claimed twice: their last good stays.
    Objects whose last origin is one of ``broken_files`` keep their last good spec, too.
    """

    unreadable: str | None = None
    objects: tuple[Declared, ...] = ()
    problems: tuple[Problem, ...] = ()
    refused: Mapping[Key, Problem] = field(default_factory=dict)
    broken_files: frozenset[str] = frozenset()
    files: int = 0
    digest: str = ""
