import io

import pytest

from lab.story import Story


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_everything_holds_only_if_every_claim_does() -> None:
    story = Story(io.StringIO())
    assert not story.table()
    story.claim("one", "seen", holds=True)
    assert story.table()
    story.claim("two", "not seen", holds=False)
    story.claim("three", "seen", holds=True)
    assert not story.table()


def test_no_line_is_longer_than_the_screen() -> None:
    out = io.StringIO()
    story = Story(out)
    story.say("word " * 60)
    story.quote("a line of a program that is longer than what there is room for " * 3)
    story.claim("a claim of some length, as they are", "and what was seen of it " * 6, holds=False)
    story.table()
    assert max(map(len, out.getvalue().splitlines())) <= 80


def test_a_caret_under_a_line_stays_where_it_is() -> None:
    out = io.StringIO()
    Story(out).quote(" 18 |     memory: 6GB\n    |             ^^^")
    first, second = out.getvalue().splitlines()
    assert first.index("6GB") == second.index("^^^")


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain, terminal = io.StringIO(), Terminal()
    for out in (plain, terminal):
        Story(out).title("x")
    assert "\033" not in plain.getvalue()
    assert "\033" in terminal.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    silent = Terminal()
    Story(silent).title("x")
    assert "\033" not in silent.getvalue()
