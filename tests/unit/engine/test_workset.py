"""The work set: order, collapsing, exclusion and no starvation."""

from crds.meta import Key
from daemon.engine.workset import Priority, WorkSet

A, B, C = Key("Container", "a"), Key("Container", "b"), Key("Container", "c")


def test_the_higher_priority_goes_first() -> None:
    work = WorkSet()
    work.add(A, Priority.POLL, 0.0)
    work.add(B, Priority.ROLLBACK, 0.0)
    work.add(C, Priority.CHANGE, 0.0)
    assert [taken.key for taken in (work.take(0.0), work.take(0.0), work.take(0.0)) if taken] == [B, C, A]


def test_equal_priorities_are_served_in_order_of_their_due_time() -> None:
    work = WorkSet()
    work.add(B, Priority.CHANGE, 2.0)
    work.add(A, Priority.CHANGE, 1.0)
    first = work.take(3.0)
    assert first is not None
    assert first.key == A
    assert first.waited_s == 2.0


def test_a_key_that_is_out_is_not_handed_out_again_before_it_is_done() -> None:
    work = WorkSet()
    work.add(A, Priority.CHANGE, 0.0)
    assert work.take(0.0) is not None
    work.add(A, Priority.CHANGE, 0.0)
    assert work.take(0.0) is None
    work.done(A)
    assert work.take(0.0) is not None


def test_adding_again_keeps_the_earlier_time_and_the_higher_priority() -> None:
    work = WorkSet()
    work.add(A, Priority.CHANGE, 10.0)
    work.add(A, Priority.POLL, 5.0)
    assert work.take(4.9) is None
    taken = work.take(5.0)
    assert taken is not None
    assert taken.priority is Priority.CHANGE
    assert len(work) == 0


def test_a_poll_that_has_waited_for_minutes_overtakes_fresh_changes() -> None:
    work = WorkSet()
    work.add(A, Priority.POLL, 0.0)
    work.add(B, Priority.CHANGE, 200.0)
    taken = work.take(200.0)
    assert taken is not None
    assert taken.key == A


def test_reserved_slots_take_only_rollbacks_and_releases() -> None:
    work = WorkSet()
    work.add(A, Priority.CHANGE, 0.0)
    assert work.take(0.0, reserved_only=True) is None
    work.add(B, Priority.RELEASE, 0.0)
    taken = work.take(0.0, reserved_only=True)
    assert taken is not None
    assert taken.key == B


def test_the_next_due_time_ignores_keys_that_are_out() -> None:
    work = WorkSet()
    work.add(A, Priority.CHANGE, 1.0)
    work.add(B, Priority.CHANGE, 7.0)
    assert work.next_due() == 1.0
    work.take(1.0)
    work.add(A, Priority.CHANGE, 2.0)
    assert work.next_due() == 7.0
    work.done(A)
    assert work.next_due() == 2.0
