"""Counters become differences: segments, nodes that are away, roles by name, who is UP."""

import pytest

from reconcilers.release.readings import Reading, read, seen_now
from reconcilers.servers import Health
from tests.builders_rule import Entry, FakeNode

Names = tuple[str, str]


@pytest.fixture(params=[("green", "blue"), ("blue", "green")], ids=["to-green", "to-blue"])
def names(request: pytest.FixtureRequest) -> Names:
    """Candidate and stable, from either colour."""
    found: Names = request.param
    return found


def an_entry(names: Names, *others: FakeNode) -> Entry:
    return Entry(candidate=names[0], stable=names[1], others=others)


def counted(reading: Reading) -> tuple[int, int, int, int]:
    delta = reading.delta
    return delta.requests, delta.errors, delta.stable_requests, delta.stable_errors


def test_a_server_without_a_mark_begins_where_it_is(names: Names) -> None:
    entry = an_entry(names)
    entry.node.add(names[0], requests=500, errors_5xx=5)

    reading = read((), entry.sample())

    assert counted(reading) == (0, 0, 0, 0)
    assert {(mark.server, mark.requests, mark.errors) for mark in reading.marks} == {
        (names[0], 500, 5),
        (names[1], 0, 0),
    }


def test_differences_go_to_the_roles_by_name(names: Names) -> None:
    entry = an_entry(names)
    before = read((), entry.sample())
    entry.node.add(names[0], requests=90, errors_5xx=3, refused=4, broken=5)
    entry.node.add(names[1], requests=80, errors_5xx=1)

    assert counted(read(before.marks, entry.sample())) == (99, 12, 80, 1)


def test_each_failure_that_haproxy_hid_counts_once(names: Names) -> None:
    entry = an_entry(names)
    before = read((), entry.sample())
    entry.node.add(names[0], requests=90, retries=2, redispatches=1)
    entry.node.add(names[1], retries=50)

    reading = read(before.marks, entry.sample())

    assert reading.hidden == 3
    assert read(reading.marks, entry.sample()).hidden == 0


def test_what_vanished_counts_at_its_highest_and_falling_is_no_new_segment(names: Names) -> None:
    entry = an_entry(names)
    marks = read((), entry.sample()).marks
    came = []
    for requests, attempts in [(100, 104), (103, 104), (200, 206)]:
        entry.node.shown[names[0]] = entry.node.shown[names[0]].__class__(
            requests=requests, errors_5xx=0, refused=0, broken=0, retries=0, redispatches=0,
            sessions=0, queued=0, attempts=attempts,
        )  # fmt: skip
        reading = read(marks, entry.sample())
        came.append((reading.delta.requests, reading.hidden))
        marks = reading.marks

    assert came == [(100, 4), (3, 0), (97, 2)]


def test_another_process_began_at_zero(names: Names) -> None:
    entry = an_entry(names)
    entry.node.add(names[0], requests=1000, errors_5xx=10)
    before = read((), entry.sample())
    entry.node = FakeNode(pid=11)
    entry.node.add(names[0], requests=1500, errors_5xx=12, retries=1)
    entry.node.add(names[1], requests=7)

    reading = read(before.marks, entry.sample())

    assert counted(reading) == (1500, 12, 7, 0)
    assert reading.hidden == 1
    assert {mark.pid for mark in reading.marks} == {11}


def test_counters_that_fell_began_again(names: Names) -> None:
    entry = an_entry(names)
    entry.node.add(names[0], requests=1000, errors_5xx=10)
    before = read((), entry.sample())
    entry.node.shown.clear()
    entry.node.add(names[0], requests=30, errors_5xx=2)
    entry.node.add(names[1], requests=4)

    assert counted(read(before.marks, entry.sample())) == (30, 2, 4, 0)


def test_counters_of_all_nodes_are_summed(names: Names) -> None:
    other = FakeNode(socket="unix:///run/haproxy/2.sock", pid=77)
    entry = an_entry(names, other)
    before = read((), entry.sample())
    entry.node.add(names[0], requests=10, errors_5xx=1, sessions=3)
    other.add(names[0], requests=20, errors_5xx=2, sessions=4, queued=2)
    other.add(names[1], sessions=5)

    reading = read(before.marks, entry.sample())

    assert counted(reading) == (30, 3, 0, 0)
    assert (reading.sessions, reading.stable_sessions) == (9, 5)


def test_what_a_node_counted_while_it_was_away_comes_when_it_answers_again(names: Names) -> None:
    other = FakeNode(socket="unix:///run/haproxy/2.sock")
    entry = an_entry(names, other)
    before = read((), entry.sample())
    other.is_away = True
    entry.node.add(names[0], requests=10)
    other.add(names[0], requests=40, errors_5xx=4)

    meanwhile = read(before.marks, entry.sample())
    other.is_away = False
    afterwards = read(meanwhile.marks, entry.sample())

    assert counted(meanwhile) == (10, 0, 0, 0)
    assert counted(afterwards) == (40, 4, 0, 0)


def test_no_node_means_unknown_and_not_nothing(names: Names) -> None:
    entry = an_entry(names)
    before = read((), entry.sample())
    entry.node.is_away = True

    reading = read(before.marks, entry.sample())

    assert not reading.is_known
    assert (reading.sessions, reading.stable_sessions, reading.stable_up, reading.down_on) == (
        None,
        None,
        None,
        None,
    )
    assert reading.marks == before.marks


def test_a_backend_that_lacks_a_role_is_not_known(names: Names) -> None:
    entry = an_entry(names)
    del entry.node.shown[names[1]]

    assert not read((), entry.sample()).is_known


def test_a_first_release_has_no_stable_to_know_of() -> None:
    entry = Entry(stable=None)

    reading = read((), entry.sample())

    assert reading.is_known
    assert reading.stable_sessions == 0
    assert reading.stable_up is None


def test_where_counting_begins_only_nodes_that_answered_have_a_mark(names: Names) -> None:
    other = FakeNode(socket="unix:///run/haproxy/2.sock")
    entry = an_entry(names, other)
    marks = read((), entry.sample()).marks
    other.is_away = True

    assert {mark.socket for mark in seen_now(marks, entry.sample())} == {entry.node.socket}


@pytest.mark.parametrize(
    ("candidate", "stable", "down_on", "stable_up"),
    [
        (Health.UP, Health.UP, None, True),
        (Health.DOUBTFUL, Health.UNCHECKED, None, True),
        (Health.UP, Health.DOWN, None, False),
        (Health.DOWN, Health.UP, "node 1", True),
        (Health.DOWN, Health.DOWN, "node 1", False),
    ],
)
def test_it_tells_who_is_up(
    names: Names, candidate: Health, stable: Health, down_on: str | None, *, stable_up: bool
) -> None:
    entry = an_entry(names)
    entry.node.health = {names[0]: candidate, names[1]: stable}

    reading = read((), entry.sample())

    assert (reading.down_on, reading.stable_up) == (down_on, stable_up)


def test_stable_must_be_up_where_the_candidate_is_down(names: Names) -> None:
    other = FakeNode(socket="unix:///run/haproxy/2.sock")
    entry = an_entry(names, other)
    other.health = dict.fromkeys(names, Health.DOWN)

    reading = read((), entry.sample())

    assert reading.down_on == "node 1"
    assert reading.stable_up is False
