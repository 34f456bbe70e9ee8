"""Traffic that a person has set: nothing of what happens meanwhile is evidence, not even afterwards."""

from dataclasses import replace
from datetime import timedelta

from crds.balancer import Override
from crds.evidence import Tally
from crds.release import Phase, ReleaseMemo
from crds.service import Color
from reconcilers.contract import Plan
from reconcilers.release.model import ReleaseAction
from reconcilers.response_times import Answered
from tests.builders import START
from tests.builders_release import GATEWAY, PROCESS, Scene, a_split, attempt_of, counted, memo_of

LIMITS = {"response_time": {"p95": "200ms"}}


def look(
    second: int, memo: ReleaseMemo, *, errors: int = 0, slow: int = 0, by_hand: bool = False
) -> Plan[ReleaseAction]:
    """Look at the watch at a second; *errors* of green's requests failed so far, *slow* answers were slow."""
    now = START + timedelta(seconds=second)
    override = Override(blue=50, green=50, until=now + timedelta(minutes=1), reason="a look", actor="bert")
    requests = 100 * second + errors
    fields = {
        "split": a_split(0, Color.GREEN, 50, override=override if by_hand else None),
        "counted": counted(dict.fromkeys(Color, requests), errors={Color.GREEN: errors}),
        "answered": {color: Answered(requests, (slow * (color is Color.GREEN),)) for color in Color},
    }
    scene = Scene(Phase.WATCH, spec=LIMITS, now=now, members={0: fields}, attempt={"entered_at": START})
    scene.memo = memo.model_dump() | {"process": PROCESS, "ticked_s": 99.0}
    return replace(scene).plan()


def test_what_came_while_a_person_had_the_traffic_is_no_evidence_when_he_gives_it_back() -> None:
    memo = ReleaseMemo(attempt=1)
    for second in range(3):
        memo = memo_of(look(second, memo))
    for second in range(3, 8):
        memo = memo_of(look(second, memo, errors=400, slow=300, by_hand=True))
    plan = look(8, memo, errors=400, slow=300)

    evidence = memo_of(plan).entries[GATEWAY]
    assert attempt_of(plan).phase is Phase.WATCH
    assert evidence.failing.total == Tally(requests=300, stable_requests=300)
    assert evidence.slow[0].total.errors == 0
