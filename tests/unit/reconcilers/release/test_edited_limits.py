"""Limits that are edited while a watch goes on: what was counted at another one says nothing of this one."""

from crds.evidence import Tally
from reconcilers.release.outlook import End, outlook
from reconcilers.release.rule import Rule, SlowLimit, Slowness
from tests.builders_rule import Entry


def test_answers_that_were_slower_than_another_limit_are_not_held_against_this_one() -> None:
    entry = Entry(rule=Rule(slow_limits=(SlowLimit(0.95, 200),))).began()
    for _ in range(60):
        entry.tick(100, slowness=(Slowness(100, 40, 100, 0),))
    assert entry.evidence.slow[0].alarm is not None

    entry.rule = Rule(slow_limits=(SlowLimit(0.95, 800),))
    for _ in range(60):
        entry.tick(100, slowness=(Slowness(100, 0, 100, 0),))

    assert entry.evidence.slow[0].total == Tally(requests=6000, stable_requests=6000)
    assert entry.judged().reason == ""
    assert outlook({"gateway": entry.evidence}, entry.rule).end is End.PROMOTE


def test_the_same_limit_goes_on_with_what_it_has() -> None:
    entry = Entry(rule=Rule(slow_limits=(SlowLimit(0.95, 200),))).began()
    entry.tick(100, slowness=(Slowness(100, 1, 100, 0),))
    entry.rule = Rule(limit=0.002, slow_limits=(SlowLimit(0.95, 200.0),))
    entry.tick(100, slowness=(Slowness(100, 1, 100, 0),))
    assert entry.evidence.slow[0].total.requests == 200
