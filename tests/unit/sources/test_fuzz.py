"""Whatever bytes a file has: an answer, never an exception, and places that lie within the file."""

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.sources.assembly import assemble
from daemon.sources.child import answer
from daemon.sources.nodes import lines_of, text_of
from daemon.sources.tree import parse_here, parsed_from
from tests.builders_source import container_yaml, content_of

MARKS = st.sampled_from([
    "[", "]", "{", "}", ": ", "- ", "? ", "&a ", "*a", "!!str ", "| ", ">-\n", "'", '"', "#", "---\n", "\n",
    "...\n", "%YAML 1.1\n", "  ", "\t", "<<", "\\", "@", "\u2028", "\x00", "\ufeff", "é", "0x1F", ".nan",
    "1e999", "9" * 50, "kind: Container\n", "spec:\n", "a: 1\n",
])  # fmt: skip
YAMLISH = st.lists(st.one_of(MARKS, st.text(max_size=3)), max_size=40).map(
    lambda parts: "".join(parts).encode()
)


@settings(max_examples=600, deadline=None)
@given(st.one_of(st.binary(max_size=300), YAMLISH))
def test_arbitrary_bytes_have_an_answer(data: bytes) -> None:
    parsed = parse_here(data)
    lines = len(lines_of(text_of(data)))
    for fault in parsed.faults:
        assert 1 <= fault.line <= lines + 1
        assert fault.column >= 1
    for problem in assemble([content_of(data)], "").problems:
        assert problem.rendered.startswith(f"web.yaml:{problem.line}:{problem.column}: error: ")


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=300), YAMLISH))
def test_the_childs_answer_says_the_same_as_parsing_here(data: bytes) -> None:
    assert parsed_from(answer(data)) == parse_here(data)


GOOD = container_yaml(memory="4Gi", tags="[a, b]", network="{bridge: vmbr1, address: 10.0.20.10/24}").encode()


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(GOOD)), st.integers(0, 12), st.one_of(st.binary(max_size=6), YAMLISH))
def test_a_damaged_file_is_an_object_or_a_problem(at: int, gone: int, instead: bytes) -> None:
    snapshot = assemble([content_of(GOOD[:at] + instead + GOOD[at + gone :])], "")
    keys = {declared.key for declared in snapshot.objects}
    assert not keys & set(snapshot.refused)
    assert snapshot.objects or snapshot.problems
