"""A hold that stays pages again each half hour; an event that says the same as the last one tells nobody."""

from datetime import timedelta

from crds.release import Hold, HoldExit, Phase
from reconcilers.contract import Note
from tests.builders import START
from tests.builders_release import Scene, a_hold, attempt_of


def test_each_page_of_a_hold_that_stays_is_another_event_than_the_last_one() -> None:
    first = a_hold("RollbackStuck", by="the rollback", then=HoldExit.STAY, for_=timedelta(minutes=30))
    hold: Hold | None = first
    said: list[str] = []
    for minutes in (30, 60, 90, 1500):
        now = START + timedelta(minutes=minutes)
        plan = Scene(Phase.SOAK, attempt={"hold": hold, "promoted_at": START}, now=now).plan()
        hold = attempt_of(plan).hold
        assert hold is not None
        assert hold.until == now + timedelta(minutes=30)
        said += [each.message for each in plan.writes if isinstance(each, Note) and each.warning]
    assert said == [f"still, after {after} min: RollbackStuck it is" for after in (30, 60, 90, 1500)]
