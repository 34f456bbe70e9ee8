"""The texts that people see when a file is not even YAML, or YAML that is not for us, word for word."""

import pytest

from tests.builders_source import rendered

HEAD = "apiVersion: psa.platform/v1\nkind: Container\nmetadata: {name: psa-crm}\n"

GOLDEN: dict[str, tuple[str | bytes, str]] = {
    "duplicate key": (
        HEAD + "spec:\n  endpoint: pve\n  ctid: 101\n  node: pve1\n  ctid: 102\n"
        "  template: local:vztmpl/a_1.tar.zst\n",
        """
web.yaml:8:3: error: "ctid" stands here twice, for the first time in line 6
  8 |   ctid: 102
    |   ^^^^
    = remove one of the two
""",
    ),
    "tab": (
        "spec:\n\tcores: 2\n",
        """
web.yaml:2:1: error: a tab in the indentation
  2 | \tcores: 2
    | ^
    = YAML indents with spaces only: put two spaces where the tab is
""",
    ),
    "tab behind spaces": (
        "spec:\n  cores: 2\n  \tmemory: 4Gi\n",
        """
web.yaml:3:3: error: a tab in the indentation
  3 |   \tmemory: 4Gi
    |   ^
    = YAML indents with spaces only: put two spaces where the tab is
""",
    ),
    "colon in a value": (
        "description: note: this\n",
        """
web.yaml:1:18: error: a ": " stands where no field can begin
  1 | description: note: this
    |                  ^
    = check the indentation, and put a value that contains ": " in quotes
""",
    ),
    "no colon": (
        "kind: Container\nmetadata\nspec: {}\n",
        """
web.yaml:2:1: error: this line is neither a field nor the rest of one: there is no ":"
  2 | metadata
    | ^
    = write "field: value", with a space behind the colon
""",
    ),
    "open quotation": (
        "a: 1\nb: 'x\nc: 2\n",
        """
web.yaml:2:4: error: this quotation is never closed
  2 | b: 'x
    |    ^
    = add the closing quote
""",
    ),
    "open bracket": (
        "a: [1, 2\nb: 3\n",
        """
web.yaml:1:4: error: this "[" is never closed
  1 | a: [1, 2
    |    ^
    = close it with "]"
""",
    ),
    "crooked list": (
        "a:\n  - b\n - c\n",
        """
web.yaml:3:2: error: this does not continue the mapping above it
  3 |  - c
    |  ^
    = what belongs together begins in the same column; check quotes, too
""",
    ),
    "list entry on the line of its field": (
        "a: - b\n",
        """
web.yaml:1:4: error: a list cannot begin on the line of its field
  1 | a: - b
    |    ^
    = put each "- " entry on a line of its own, or write [a, b]
""",
    ),
    "at sign": (
        "a: @home\n",
        """
web.yaml:1:4: error: a value cannot begin with @
  1 | a: @home
    |    ^
    = put the value in quotes if it is meant as text
""",
    ),
    "glob": (
        "a: *.local\n",
        """
web.yaml:1:4: error: a value that begins with * refers to an anchor, and a name must follow
  1 | a: *.local
    |    ^
    = put the value in quotes if it is meant as text
""",
    ),
    "backslash": (
        'a: "C:\\dir"\n',
        """
web.yaml:1:7: error: this is no escape sequence of a text in double quotes
  1 | a: "C:\\dir"
    |       ^
    = write a backslash as \\\\, or take single quotes
""",
    ),
    "undefined alias": (
        "a: *base\n",
        """
web.yaml:1:4: error: *base: there is no &base above it
  1 | a: *base
    |    ^
    = put the value in quotes if it is meant as text: "*base"
""",
    ),
    "latin-1": (
        b"a: caf\xe9\n",
        """
web.yaml:1:7: error: byte 0xe9 is not UTF-8
  1 | a: caf\N{REPLACEMENT CHARACTER}
    |       ^
    = save the file as UTF-8
""",
    ),
}


@pytest.mark.parametrize(("text", "expected"), GOLDEN.values(), ids=GOLDEN)
def test_the_error_reads_as_agreed(text: str | bytes, expected: str) -> None:
    assert rendered(text) == expected.strip("\n")
