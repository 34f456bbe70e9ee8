"""Where the histories of two members part, from what each knows of its past."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.postgres.timelines import History, parting, read_history
from tests.builders_postgres import a_member

#: As a real server writes it.
FILE = "1\t0/3000148\tno recovery target specified\n\n2\tA/5000060\tbefore 2026-11-01 10:00:00+00\n"


def part(one: tuple[int, History | None], two: tuple[int, History | None]) -> str:
    return parting(
        a_member("one", timeline=one[0], history=one[1]), a_member("two", timeline=two[0], history=two[1])
    )


def test_a_history_file_is_read_and_what_is_none_is_unknown() -> None:
    assert read_history(FILE) == ((1, 0x3000148), (2, 0xA05000060))
    assert read_history("# a comment\n") == ()
    assert read_history("1\t0/3000148\nnonsense") is None


@given(text=st.text())
def test_nothing_that_stands_in_a_file_makes_reading_it_fail(text: str) -> None:
    found = read_history(text)
    assert found is None or all(timeline >= 0 and end >= 0 for timeline, end in found)


@pytest.mark.parametrize(
    ("one", "two", "place"),
    [
        # The standby was promoted, and the old primary is back.
        ((1, ()), (2, ((1, 0x3000148),)), "0/3000148 on timeline 1"),
        ((2, ((1, 0x3000148),)), (1, ()), "0/3000148 on timeline 1"),
        # Both were promoted, at two places of one timeline: the earlier one counts.
        ((2, ((1, 0x3000148),)), (2, ((1, 0x4000000),)), "0/3000148 on timeline 1"),
        # Both were promoted at the same place, to two timelines.
        ((2, ((1, 0x3000148),)), (3, ((1, 0x3000148),)), "0/3000148 on timeline 1"),
        # They shared a promotion before.
        ((2, ((1, 0x10),)), (3, ((1, 0x10), (2, 0xA05000060))), "A/5000060 on timeline 2"),
        ((3, ((1, 0x10), (2, 0x30))), (4, ((1, 0x10), (2, 0x20))), "0/20 on timeline 2"),
    ],
)
def test_where_two_histories_part_is_said(
    one: tuple[int, History], two: tuple[int, History], place: str
) -> None:
    assert part(one, two) == f"one and two have the same history up to {place}"


@pytest.mark.parametrize("past", [(), ((1, 0x10),)])
def test_of_two_that_write_the_same_timeline_it_is_unknown(past: History) -> None:
    timeline = len(past) + 1
    assert part((timeline, past), (timeline, past)) == (
        f"where they parted is unknown: one and two both write timeline {timeline}"
    )


def test_a_history_that_may_not_be_read_is_unknown_and_named() -> None:
    assert part((1, ()), (2, None)) == "where they parted is unknown: the history of two may not be read"
