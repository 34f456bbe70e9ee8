"""In a long soak looks are ten seconds apart: one bad look is not ten bad seconds."""

from datetime import timedelta

import pytest

from crds.evidence import Evidence
from crds.release import Phase
from crds.service import Color
from reconcilers.contract import Plan
from reconcilers.release.analysis import Action
from reconcilers.release.model import ReleaseAction
from reconcilers.servers import Health
from tests.builders import START
from tests.builders_release import CRM, GATEWAY, ILL, WELL, Scene, attempt_of, counted, memo_of
from tests.builders_rule import Entry

BAD = ("its container", "its health", "haproxy", "a hang")


def soaking() -> Entry:
    entry = Entry(in_soak=True, weights=(100, 0), probes={"candidate_probe": True, "stable_probe": True})
    entry.began()
    for _ in range(5):
        entry.tick(100, 0, 0, 0, seconds=10.0)
    return entry


def break_it(entry: Entry, how: str) -> None:
    match how:
        case "its container":
            entry.probes["is_running"] = False
        case "its health":
            entry.probes["candidate_probe"] = False
        case "haproxy":
            entry.node.health["green"] = Health.DOWN
        case _:
            entry.node.add("green", sessions=1000)


@pytest.mark.parametrize("how", BAD)
def test_one_bad_look_after_ten_seconds_is_no_reason_to_go_back(how: str) -> None:
    entry = soaking()
    break_it(entry, how)
    entry.tick(100, 0, 0, 0, seconds=10.0)
    assert entry.judged().action is Action.NONE


@pytest.mark.parametrize("how", BAD)
def test_what_stays_bad_for_three_looks_a_second_apart_is(how: str) -> None:
    entry = soaking()
    break_it(entry, how)
    entry.tick(100, 0, 0, 0, seconds=10.0)
    entry.tick(10, 0, 0, 0)
    assert entry.judged().action is Action.NONE
    entry.tick(10, 0, 0, 0)
    assert entry.judged().action is Action.ROLL_BACK


def late_look(fields: dict[int, dict[str, object]], **memo: object) -> Plan[ReleaseAction]:
    """Return the plan of a look ten seconds after the last one, an hour into the soak."""
    promoted = START - timedelta(hours=1)
    before = {"ticked_s": 90.0, "ticked_at": START - timedelta(seconds=10), **memo}
    attempt = {"promoted_at": promoted, "entered_at": promoted}
    return Scene(
        Phase.SOAK, services=2, spec={"soak": "24h"}, attempt=attempt, memo=before, members=fields
    ).plan()


@pytest.mark.parametrize(
    "fields",
    [
        {0: {"probes": {Color.GREEN: ILL, Color.BLUE: WELL}, "counted": counted()}},
        {1: {"probes": {Color.GREEN: ILL, Color.BLUE: WELL}}},
    ],
    ids=["at-the-entry", "behind-it"],
)
def test_a_bad_look_makes_the_next_ones_frequent(fields: dict[int, dict[str, object]]) -> None:
    seen = Evidence(began_at=START - timedelta(hours=1), is_read_back=True, weight=100)
    plan = late_look(fields, entries={GATEWAY: seen.model_dump()})
    assert attempt_of(plan).phase is Phase.SOAK
    assert plan.recheck_after == timedelta(seconds=1)


def test_a_service_behind_the_entry_is_not_ill_for_longer_than_a_tick_at_its_first_bad_look() -> None:
    plan = late_look({1: {"probes": {Color.GREEN: ILL, Color.BLUE: ILL}}})
    evidence = memo_of(plan).behind[CRM]
    assert (evidence.down_s, evidence.down_both_s) == (1.0, 1.0)
