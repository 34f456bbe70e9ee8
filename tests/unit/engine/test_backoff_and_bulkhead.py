"""Pauses after failures, and the door of an endpoint."""

import pytest

from daemon.engine.backoff import PATIENT, URGENT, pause_after
from daemon.engine.bulkhead import FIRST_PROBE_S, OPENS_AFTER, WIDTH, Bulkhead
from reconcilers.contract import PermanentError


@pytest.mark.parametrize(
    ("failures", "longest"), [(1, 1.0), (2, 2.0), (5, 16.0), (9, 256.0), (10, 300.0), (5000, 300.0)]
)
def test_a_pause_lies_between_half_and_the_whole_of_its_power_of_two(failures: int, longest: float) -> None:
    assert PATIENT.pause(failures, 0.0) == longest / 2
    assert longest * 0.99 < PATIENT.pause(failures, 0.999) < longest


def test_rollbacks_and_splits_never_wait_longer_than_a_second() -> None:
    assert URGENT.pause(50, 0.999) <= 1.0


def test_four_passes_fit_into_an_endpoint_and_the_fifth_waits() -> None:
    door = Bulkhead()
    for _ in range(WIDTH):
        assert door.admits(0.0)
        door.enter()
    assert not door.admits(0.0)
    door.leave(failed=False, now=0.0)
    assert door.admits(0.0)


def test_five_failures_open_the_breaker_and_one_probe_at_a_time_may_try() -> None:
    door = Bulkhead()
    for _ in range(OPENS_AFTER):
        door.enter()
        door.leave(failed=True, now=10.0)
    assert door.is_open
    assert not door.admits(10.0 + FIRST_PROBE_S - 0.1)
    assert door.admits(10.0 + FIRST_PROBE_S)
    door.enter()
    assert not door.admits(10.0 + FIRST_PROBE_S)
    door.leave(failed=True, now=20.0)
    assert not door.admits(20.0 + FIRST_PROBE_S)
    assert door.admits(20.0 + 2 * FIRST_PROBE_S)


def test_a_probe_that_must_come_soon_does_not_wait_longer_however_many_failed() -> None:
    door = Bulkhead()
    for _ in range(10 * OPENS_AFTER):
        door.enter()
        door.leave(failed=True, now=10.0, within_s=2.0)
    assert not door.admits(11.9)
    assert door.admits(12.0)


def test_one_success_closes_the_breaker() -> None:
    door = Bulkhead()
    for _ in range(OPENS_AFTER):
        door.enter()
        door.leave(failed=True, now=0.0)
    door.enter()
    door.leave(failed=False, now=100.0)
    assert not door.is_open
    assert door.admits(100.0)


def test_what_was_refused_for_good_is_looked_at_on_and_what_cannot_be_seen_is_left_alone() -> None:
    never = PermanentError("never", reason="Forbidden")
    assert pause_after(never, PATIENT, 1, 0.0, 5.0) == PATIENT.cap_s
    pauses = [pause_after(never, PATIENT, failures, 0.0, 5.0, is_refusal=True) for failures in range(1, 12)]
    assert pauses[0] == 0.5
    assert pauses == sorted(pauses)
    assert pauses[-1] == PATIENT.cap_s / 2


def test_what_could_not_be_read_here_is_read_again_as_often_as_its_kind_is_looked_at() -> None:
    missing = PermanentError("no file", reason="SecretUnavailable", asked_outside=False)
    assert pause_after(missing, PATIENT, 100, 0.9, 5.0) == 5.0
