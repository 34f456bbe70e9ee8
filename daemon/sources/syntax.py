"""What libyaml's complaints mean, in words for people."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a file before any of it is understood; line and column count from 1."""

    line: int
    column: int
    width: int
    message: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Complaint:
    """libyaml's own words and places; lines and columns count from 0, as there.

    ``context`` is where the thing that is broken begins, ``problem`` where it was noticed.
    """

    problem: str
    line: int
    column: int
    context: str = ""
    context_line: int | None = None
    context_column: int = 0


_TAB_NOTE: Final = "YAML indents with spaces only: put two spaces where the tab is"
_QUOTE_NOTE: Final = "put the value in quotes if it is meant as text"
#: (libyaml's words, whether the place is where the broken thing begins, ours, what to do)
_WORDS: Final[tuple[tuple[str, bool, str, str], ...]] = (
    (
        "mapping values are not allowed in this context",
        False,
        'a ": " stands where no field can begin',
        'check the indentation, and put a value that contains ": " in quotes',
    ),
    (
        "could not find expected ':'",
        True,
        'this line is neither a field nor the rest of one: there is no ":"',
        'write "field: value", with a space behind the colon',
    ),
    (
        "did not find expected key",
        False,
        "this does not continue the mapping above it",
        "what belongs together begins in the same column; check quotes, too",
    ),
    (
        "did not find expected '-' indicator",
        False,
        "this does not continue the list above it",
        'entries of one list begin with "- " in the same column',
    ),
    (
        "block sequence entries are not allowed in this context",
        False,
        "a list cannot begin on the line of its field",
        'put each "- " entry on a line of its own, or write [a, b]',
    ),
    ("did not find expected ',' or ']'", True, 'this "[" is never closed', 'close it with "]"'),
    ("did not find expected ',' or '}'", True, 'this "{" is never closed', 'close it with "}"'),
    ("found unexpected end of stream", True, "this quotation is never closed", "add the closing quote"),
    (
        "found unexpected document indicator",
        True,
        'this quotation is not closed before the next "---"',
        "add the closing quote",
    ),
    ("did not find expected node content", False, "a value is needed here", _QUOTE_NOTE),
    ("did not find expected alphabetic or numeric character", True, "", _QUOTE_NOTE),
    (
        "found unknown escape character",
        False,
        "this is no escape sequence of a text in double quotes",
        r"write a backslash as \\, or take single quotes",
    ),
    (
        "did not find expected <document start>",
        False,
        "the document has ended before this line",
        'begin another document with "---"',
    ),
    (
        "did not find expected comment or line break",
        False,
        "the text of a block begins on the line below its | or >",
        "put it there, indented",
    ),
    ("found undefined tag handle", False, "tags are not understood here", _QUOTE_NOTE),
    ("directive", False, "directives (%…) other than %YAML 1.2 are not understood", "leave the line out"),
)


def explain(complaint: Complaint, lines: list[str]) -> Fault:
    """Return what *complaint* means to the writer of a file with these *lines*."""
    tab = _tab(complaint, lines)
    if tab is not None:
        return tab
    if complaint.problem == "found character that cannot start any token":
        character = lines[complaint.line][complaint.column : complaint.column + 1]
        message = f"a value cannot begin with {character}"
        return Fault(complaint.line + 1, complaint.column + 1, 1, message, (_QUOTE_NOTE,))
    if complaint.problem == "did not find expected node content" and _is_end(complaint, lines):
        message = "the file ends where a value is needed"
        return Fault(complaint.line + 1, complaint.column + 1, 1, message, ('close every "[" and "{"',))
    for words, at_beginning, ours, note in _WORDS:
        if words in complaint.problem:
            line, column = _place(complaint, at_beginning=at_beginning)
            return Fault(line + 1, column + 1, 1, ours or _name(lines, line, column), (note,))
    context = f" {complaint.context}" if complaint.context else ""
    return Fault(complaint.line + 1, complaint.column + 1, 1, f"not YAML: {complaint.problem}{context}")


def _is_end(complaint: Complaint, lines: list[str]) -> bool:
    rest = lines[complaint.line + 1 :]
    here = lines[complaint.line][complaint.column :] if complaint.line < len(lines) else ""
    return not "".join((here, *rest)).strip()


def _place(complaint: Complaint, *, at_beginning: bool) -> tuple[int, int]:
    if at_beginning and complaint.context_line is not None:
        return complaint.context_line, complaint.context_column
    return complaint.line, complaint.column


def _name(lines: list[str], line: int, column: int) -> str:
    sign = lines[line][column : column + 1] if line < len(lines) else ""
    what = {"*": "refers to an anchor", "&": "sets an anchor"}.get(sign, "is special")
    return f"a value that begins with {sign} {what}, and a name must follow"


def _tab(complaint: Complaint, lines: list[str]) -> Fault | None:
    """Return the fault if a tab stands in the indentation of the line where libyaml gave up."""
    if complaint.line >= len(lines):
        return None
    line = lines[complaint.line]
    indentation = line[: len(line) - len(line.lstrip(" \t"))]
    if "\t" not in indentation:
        return None
    return Fault(complaint.line + 1, indentation.index("\t") + 1, 1, "a tab in the indentation", (_TAB_NOTE,))
