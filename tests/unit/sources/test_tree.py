"""Bytes to nodes with places, and everything that is refused on the way."""

import pytest

from daemon.sources.nodes import LARGEST_FILE, read_documents
from daemon.sources.tree import Field, Node, Place, TreeError, lines_below, locate, parse_here, parsed_from


def messages(data: bytes) -> list[str]:
    return [fault.message for fault in read_documents(data)[1]]


def plain(data: bytes) -> list[object]:
    parsed = parse_here(data)
    assert parsed.faults == ()
    return [document.plain() for document in parsed.documents]


def test_every_key_and_value_knows_its_line_and_column() -> None:
    (document,) = parse_here(b"spec:\n  cores: 12\n  tags: [a, 'bc']\n").documents
    spec = document.field("spec")
    assert spec is not None
    cores, tags = spec.node.field("cores"), spec.node.field("tags")
    assert cores is not None
    assert tags is not None
    assert (cores.place, cores.node.place) == (Place(2, 3, 5), Place(2, 10, 2))
    assert isinstance(tags.node.value, tuple)
    assert [item.place for item in tags.node.value] == [Place(3, 10, 1), Place(3, 13, 4)]
    assert dict(lines_below(document, "")) == {
        "spec": 1, "spec.cores": 2, "spec.tags": 3, "spec.tags.0": 3, "spec.tags.1": 3,
    }  # fmt: skip


def test_the_nearest_parent_that_exists_is_underlined() -> None:
    root = Field(Place(1, 1, 4), Node(Place(2, 3, 1), {"a": Field(Place(2, 3, 1), Node(Place(2, 6, 2), 12))}))
    assert locate(root, ("a",)) == Place(2, 6, 2)
    assert locate(root, ("a",), name=True) == Place(2, 3, 1)
    assert locate(root, ("missing", "deeper")) == Place(1, 1, 4)


def test_a_file_has_many_documents_and_empty_ones_do_not_count() -> None:
    assert plain(b"---\n---\na: 1\n---\n# only a comment\n---\n~\n---\nb: 2\n...\n") == [{"a": 1}, {"b": 2}]
    assert plain(b"") == []
    assert plain(b"# nothing\n") == []


def test_a_byte_order_mark_and_windows_line_ends_are_read() -> None:
    assert plain(b"\xef\xbb\xbfa: 1\r\nb: |\r\n  x\r\n  y\r\n") == [{"a": 1, "b": "x\ny\n"}]


def test_quoted_scalars_are_text_and_names_are_as_they_are_written() -> None:
    assert plain(b"a: '1'\nb: \"no\"\nc: !!str 3\nd: ! 4\n8080: x\non: y\n") == [
        {"a": "1", "b": "no", "c": "3", "d": "4", "8080": "x", "on": "y"}
    ]


def test_aliases_stand_for_what_they_name() -> None:
    assert plain(b"a: &x [1, 2]\nb: *x\nc: [*x, &k v, *k]\n") == [
        {"a": [1, 2], "b": [1, 2], "c": [[1, 2], "v", "v"]}
    ]


def test_an_alias_bomb_is_refused() -> None:
    levels = [b"a0: &a0 [x, x, x, x, x, x, x]"]
    levels += [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 7)) for n in range(1, 7)]
    assert messages(b"\n".join(levels)) == ["aliases stand for more than 10000 values or 32 levels"]


def test_many_aliases_are_refused() -> None:
    assert messages(b"a: &a x\nb: [" + b"*a, " * 51 + b"]\n") == ["more than 50 aliases (*name) in one file"]
    assert messages(b"a: &a x\nb: [" + b"*a, " * 50 + b"]\n") == []


def test_aliases_do_not_add_levels_beyond_the_limit() -> None:
    deep = b"[" * 30 + b"x" + b"]" * 30
    assert messages(b"a: &a " + deep + b"\nb: [[*a]]\n") == [
        "aliases stand for more than 10000 values or 32 levels"
    ]
    assert messages(b"a: &a " + deep + b"\nb: [*a]\n") == []


def test_an_alias_inside_its_own_anchor_is_refused() -> None:
    assert messages(b"a: &a [*a]\n") == ["*a would contain itself"]


def test_an_anchor_ends_with_its_document() -> None:
    assert messages(b"a: &a 1\n---\nb: *a\n") == ["*a: there is no &a above it"]


@pytest.mark.parametrize("opening", [b"[", b"{a: ", b"- ", b"? ", b"{"])
def test_deep_nesting_is_refused(opening: bytes) -> None:
    assert messages(opening * (200_000 // len(opening))) == ["more than 32 levels inside each other"]


def test_32_levels_are_read() -> None:
    assert messages(b"[" * 32 + b"x" + b"]" * 32) == []
    assert messages(b"[" * 33 + b"x" + b"]" * 33) == ["more than 32 levels inside each other"]


def test_duplicate_names_are_refused_with_both_lines() -> None:
    faults = read_documents(b"a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")[1]
    assert [(fault.line, fault.message) for fault in faults] == [
        (4, '"c" stands here twice, for the first time in line 3'),
        (5, '"a" stands here twice, for the first time in line 1'),
    ]


def test_a_file_has_30_000_values_at_most() -> None:
    assert messages(b"[" + b"a," * 29_999 + b"]") == []
    assert messages(b"[" + b"a," * 30_000 + b"]") == ["more than 30000 values in one file"]


def test_a_thousand_mistakes_are_not_all_told() -> None:
    assert len(read_documents(b"a: 1\n" * 1000)[1]) == 50


@pytest.mark.parametrize(
    ("data", "line", "column", "message"),
    [
        (b"a: 1\nb: \xff\n", 2, 4, "byte 0xff is not UTF-8"),
        (b"\xef\xbb\xbfa: \xc3", 1, 4, "byte 0xc3 is not UTF-8"),
        ("a: ä\r\nb: ö \x00".encode(), 2, 6, "the character U+0000 is not allowed in YAML"),
        ("a: \u2028b\n".encode(), 1, 4, "the character U+2028 is not allowed in YAML"),
        ("a: 1".encode("utf-16"), 1, 1, "the file is UTF-16: UTF-8 is needed"),
        (b"x" * (LARGEST_FILE + 1), 1, 1, "the file has 262145 bytes: at most 262144 (256 KiB) are read"),
    ],
    ids=["latin-1", "cut off", "NUL", "line separator", "utf-16", "too large"],
)
def test_what_is_not_a_text_file_is_refused_at_its_place(
    data: bytes, line: int, column: int, message: str
) -> None:
    (fault,) = read_documents(data)[1]
    assert (fault.line, fault.column, fault.message) == (line, column, message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"a: !!python/object:os.system x\n",
            "tags such as !!python/object:os.system are not understood here",
        ),
        (b"a: !!int 3\n", "tags such as !!int are not understood here"),
        (b"a: !mine [x]\n", "tags such as !mine are not understood here"),
        (b"<<: {a: 1}\n", "merge keys (<<) are not part of YAML 1.2"),
        (b"? [a]\n: b\n", "the name of a field must be a word, found a list, a mapping or an alias"),
        (b"a: .inf\n", ".inf is not a finite number"),
        (b"? \n: b\n", "the name of a field is missing here"),
    ],
)
def test_what_yaml_can_do_and_desired_state_must_not_is_refused(data: bytes, message: str) -> None:
    assert messages(data) == [message]


def test_documents_before_a_syntax_error_are_kept_for_their_own_mistakes() -> None:
    parsed = parse_here(b"a: 1\n---\nb: [\n")
    assert [document.plain() for document in parsed.documents] == [{"a": 1}]
    assert len(parsed.faults) == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"", b"{}", b"[]", b"[1,2]", b"[[],[],[]]", b"[[[1,1,1,7,0]],[]]", b"[[[1,1]],[]]", b"\xff",
        b"[[[1,1,1,2,[3]]],[]]", b"[[],[[1]]]", b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_reply_that_is_none_is_an_error_and_not_a_crash(reply: bytes) -> None:
    with pytest.raises(TreeError):
        parsed_from(reply)
