"""What data services told: the last look, and the hour before, as far as it was seen."""

from datetime import timedelta

from crds.meta import Key
from reconcilers.gauges import Gauge, Gauges
from tests.builders import START

KEY = Key("PostgresCluster", "psa-db")


def told(*, minutes: int, epoch: str = "run 1", every_s: int = 2) -> Gauges:
    """Return gauges that were told so long, every few seconds, one more commit each time."""
    gauges = Gauges()
    for number in range(minutes * 60 // every_s + 1):
        at = START + timedelta(seconds=number * every_s)
        gauges.tell(KEY, Gauge(at, {"commits": float(number), "lag_bytes:r1": 5.0}, epoch))
    return gauges


def test_the_last_look_is_kept_until_it_is_forgotten() -> None:
    gauges = told(minutes=1)
    last = gauges.of(KEY)
    assert last is not None
    assert last.values == {"commits": 30.0, "lag_bytes:r1": 5.0}

    gauges.forget(KEY)

    assert gauges.of(KEY) is None
    assert gauges.hour_before(KEY) is None


def test_the_hour_before_begins_with_what_was_first_seen() -> None:
    before = told(minutes=10).hour_before(KEY)
    assert before == Gauge(START, {"commits": 0.0}, "run 1"), "without names that have a place"


def test_the_hour_before_is_an_hour_and_not_more() -> None:
    gauges = told(minutes=150)
    before = gauges.hour_before(KEY)
    assert before is not None
    assert before.at == START + timedelta(minutes=90)


def test_another_run_of_the_server_begins_anew() -> None:
    gauges = told(minutes=10)
    at = START + timedelta(minutes=11)
    gauges.tell(KEY, Gauge(at, {"commits": 3.0}, "run 2"))
    gauges.tell(KEY, Gauge(at + timedelta(seconds=2), {"commits": 4.0}, "run 2"))
    assert gauges.hour_before(KEY) == Gauge(at, {"commits": 3.0}, "run 2")


def test_nothing_is_known_of_what_was_never_told() -> None:
    assert Gauges().hour_before(KEY) is None
