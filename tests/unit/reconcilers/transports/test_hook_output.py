"""What is kept of a hook's output, and how it is made harmless."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.transports.hook_output import HALF, TAIL, Output, readable


def output(*chunks: bytes) -> Output:
    found = Output()
    for chunk in chunks:
        found.add(chunk)
    return found


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain\n\ttext\n", "plain\n\ttext\n"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07after", "after"),
        (b"\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1b]unfinished", "unfinished"),
        (b"\x1b(B\x1bc!", "!"),
        (b"10%\r20%\r\n", "10%\n20%\n"),
        (b"a\x00\x07\x08b\x7f\xc2\x9bc", "abc"),
        ("\u202eabc\u2066\ufeff".encode(), "abc"),
        ("line\u2028line".encode(), "line\nline"),
        (b"\xff\xfe ok", "\ufffd\ufffd ok"),
        ("häßlich ✖".encode(), "häßlich ✖"),
    ],
)
def test_text_is_made_harmless(data: bytes, text: str) -> None:
    assert readable(data) == text


def test_a_cut_inside_a_character_shows_nothing_of_it() -> None:
    assert readable("✖ end".encode()[1:], is_cut=True) == " end"
    assert readable("✖ end".encode()[1:]) == "\ufffd\ufffd end", "nothing was cut: it wrote so"


def test_the_tail_reaches_back_into_the_beginning_while_nothing_is_missing() -> None:
    found = output(b"x" * HALF, b"y" * 10)
    assert found.tail() == "x" * (TAIL - 10) + "y" * 10
    assert found.is_cut


def test_a_short_output_is_kept_whole() -> None:
    found = output(b"one ", b"two")
    assert found.tail() == found.kept() == "one two"
    assert (found.total, found.is_cut) == (7, False)


def test_beginning_and_end_of_a_long_output_are_kept_with_the_size_of_the_rest() -> None:
    found = output(b"a" * HALF, b"b" * 1000, b"c" * HALF)
    assert found.kept() == f"{'a' * HALF}\n[… 1000 bytes are left out …]\n{'c' * HALF}"


@given(chunks=st.lists(st.binary(max_size=200), max_size=30), times=st.integers(1, 20))
def test_however_it_comes_the_end_is_the_end(chunks: list[bytes], times: int) -> None:
    found, whole = output(*chunks * times), b"".join(chunks * times)
    assert found.total == len(whole)
    assert found.is_cut == (len(whole) > TAIL)
    assert found.tail() == readable(whole[-TAIL:], is_cut=len(whole) > TAIL)


@given(data=st.binary(max_size=300))
def test_nothing_that_moves_a_cursor_is_left(data: bytes) -> None:
    text = readable(data)
    assert all(character.isprintable() or character in "\n\t" or ord(character) > 0x9F for character in text)
