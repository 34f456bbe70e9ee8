"""Whether an attempt begins, with which roles, and what keeps it from that."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crds.freeze import Freeze
from crds.meta import Condition, ConditionType, Truth
from crds.release import Attempt, Member, Phase, Quarantined, ReleaseMemo, ReleaseStatus
from crds.service import Color
from reconcilers.contract import Answer, Note, Plan
from reconcilers.release.beginning import RETRY, fingerprint
from reconcilers.release.model import ReleaseAction
from reconcilers.release.plan import plan_release
from tests.builders import START
from tests.builders_release import (
    CRM,
    GATEWAY,
    NEW,
    OLD,
    Scene,
    a_request,
    a_service,
    a_slot,
    a_split,
    attempt_of,
    conditions,
    notes,
)
from tests.simulation.release_world import release_spec

COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)
NONE_YET = {"number": 0}
NOBODY = (Condition(ConditionType.READY, Truth.FALSE, "NoLiveColor", "there is no backend", START),)


def at_rest(live: Color | None = Color.BLUE, services: int = 1, **fields: Any) -> Scene:
    """Return a release that was never begun; a service of which nobody is live says so."""
    members = dict(fields.pop("members", {}))
    for number in range(services if live is None else 0):
        nobody = replace(a_service(number, None), conditions=NOBODY)
        members[number] = {"service": nobody, **members.get(number, {})}
    return Scene(Phase.PENDING, live, services, attempt=NONE_YET, members=members, **fields)


def ended(phase: Phase, reason: str | None = None, **fields: Any) -> Scene:
    """Return a release whose last attempt at the file's version has ended."""
    attempt = {"ended_at": START - timedelta(hours=1), "reason": reason, "message": "so it was"}
    return Scene(phase, attempt=attempt | dict(fields.pop("attempt", {})), **fields)


def reason_of(plan: Plan[ReleaseAction]) -> str:
    """Return why nothing begins."""
    if plan.blocked is not None:
        return plan.blocked[0]
    assert plan.waiting is not None
    return next(each.reason for each in plan.verdicts if each.type is ConditionType.READY)


def begun(plan: Plan[ReleaseAction]) -> Attempt:
    assert "AttemptBegan" in notes(plan)
    return attempt_of(plan)


def has_begun(plan: Plan[ReleaseAction]) -> bool:
    return "AttemptBegan" in notes(plan)


@COLORS
def test_the_roles_are_fixed_from_who_is_live(live: Color) -> None:
    attempt = begun(at_rest(live, 2).plan())
    assert (attempt.number, attempt.version, attempt.phase) == (1, NEW, Phase.PENDING)
    assert attempt.members == {
        GATEWAY: Member(candidate=live.other, stable=live, stable_version=OLD, is_entry=True),
        CRM: Member(candidate=live.other, stable=live, stable_version=OLD, is_entry=False),
    }


def test_a_first_release_has_no_stable_and_goes_into_blue() -> None:
    attempt = begun(at_rest(None, 2).plan())
    assert not attempt.has_stable
    assert {each.candidate for each in attempt.members.values()} == {Color.BLUE}


def test_a_service_that_is_new_in_the_set_goes_where_the_others_go() -> None:
    newcomer = {"service": replace(a_service(1, None), conditions=NOBODY), "containers": {}}
    attempt = begun(at_rest(Color.GREEN, 2, members={1: newcomer}).plan())
    assert attempt.members[CRM] == Member(candidate=Color.BLUE)
    assert attempt.has_stable, "users reach it through the gateway only"


def test_what_is_live_already_needs_no_attempt() -> None:
    plan = at_rest(version=OLD).plan()
    assert plan == Plan(status=ReleaseStatus())


def test_an_attempt_begins_with_a_memory_of_its_own() -> None:
    plan = at_rest(memo={"attempt": 9, "soaked_s": 77.0}).plan()
    assert plan.memo == ReleaseMemo(attempt=1)


def test_attempts_are_counted_and_the_last_one_is_kept() -> None:
    plan = ended(Phase.COMPLETED, version="1.2.0", attempt={"number": 4}).plan()
    assert begun(plan).number == 5
    assert isinstance(plan.status, ReleaseStatus)
    assert [each.number for each in plan.status.history] == [4]


@pytest.mark.parametrize("phase", [Phase.COMPLETED, Phase.ROLLED_BACK])
def test_a_service_that_left_the_file_is_no_part_of_the_next_attempt(phase: Phase) -> None:
    scene = ended(phase, "Superseded", services=2)
    release = replace(scene.resource(), spec=release_spec("1.2.0"))
    assert release.spec.services == (GATEWAY,)
    assert set(begun(plan_release(release, scene.look(), scene.now)).members) == {GATEWAY}


def an_obstacle(number: int = 0, **fields: Any) -> Mapping[int, Mapping[str, Any]]:
    return {number: fields}


OBSTACLES: Mapping[str, tuple[dict[str, Any], bool]] = {
    "ServiceMissing": ({"members": an_obstacle(service=None)}, False),
    "NotLookedAt": ({"members": an_obstacle(service=replace(a_service(), status=None))}, True),
    "ServiceStalled": (
        {
            "members": an_obstacle(
                service=replace(a_service(), conditions=conditions(ready=False, stalled="BothLive"))
            )
        },
        False,
    ),
    "ServiceOrphaned": ({"members": an_obstacle(service=replace(a_service(), orphaned_since=START))}, False),
    "MixedTraffic": (
        {"members": an_obstacle(service=a_service(live=None), split=a_split(0, Color.GREEN, 50))},
        False,
    ),
    "NoLiveColor": (
        {"members": an_obstacle(service=a_service(live=None), split=None, containers={})},
        True,
    ),
    "VersionUnknown": ({"members": an_obstacle(containers={})}, False),
    "Orphaned": ({"release": {"orphaned_since": START}}, False),
    "DependencyNotReady": ({"release": {"held": ("DependencyNotReady", "waits for Container/db")}}, True),
    "ObserveMode": ({"release": {"held": ("ObserveMode", "nothing is changed")}}, True),
    "Frozen": (
        {"seen": {"freeze": Freeze(until=START + timedelta(hours=1), reason="week-end", actor="anna")}},
        True,
    ),
}


@pytest.mark.parametrize("reason", list(OBSTACLES))
@COLORS
def test_nothing_begins_while_something_stands_against_it(live: Color, reason: str) -> None:
    fields, waits = OBSTACLES[reason]
    plan = at_rest(live, **fields).plan()
    assert not has_begun(plan)
    if reason == "ServiceMissing":
        assert plan.waiting == f"there is no Service {GATEWAY}"
        return
    assert reason_of(plan) == reason
    assert (plan.waiting is not None) == waits


def test_a_service_that_changed_is_looked_at_first() -> None:
    changed = replace(a_service(), generation=2)
    assert reason_of(at_rest(members={0: {"service": changed}}).plan()) == "NotLookedAt"


def test_what_others_must_mend_is_looked_at_again_soon() -> None:
    for fields, _ in (OBSTACLES["MixedTraffic"], OBSTACLES["VersionUnknown"], OBSTACLES["ServiceMissing"]):
        again = at_rest(**fields).plan().recheck_after
        assert again is not None
        assert again <= timedelta(seconds=5)


@pytest.mark.parametrize("peers", [(), (CRM,)])
def test_services_that_call_their_own_colour_must_be_live_in_the_same(peers: tuple[str, ...]) -> None:
    gateway = a_service(0, Color.BLUE, peers=list(peers))
    crm = {"service": a_service(1, Color.GREEN), "containers": {Color.GREEN: a_slot(1, Color.GREEN)}}
    plan = at_rest(Color.BLUE, 2, members={0: {"service": gateway}, 1: crm}).plan()
    if peers:
        assert reason_of(plan) == "ColorsDiffer"
        assert not has_begun(plan)
    else:
        assert {name: each.candidate for name, each in begun(plan).members.items()} == {
            GATEWAY: Color.GREEN,
            CRM: Color.BLUE,
        }


def test_what_ends_a_freeze_is_its_time() -> None:
    over = Freeze(until=START - timedelta(seconds=1), reason="week-end", actor="anna")
    assert has_begun(at_rest(seen={"freeze": over}).plan())


ENDS = pytest.mark.parametrize(
    ("phase", "reason"),
    [
        (Phase.ROLLED_BACK, "ErrorRate"),
        (Phase.ROLLED_BACK, "CommonCauseSuspected"),
        (Phase.FAILED, "HookFailed"),
        (Phase.FAILED, "Aborted"),
    ],
)


@ENDS
@COLORS
def test_what_did_not_come_to_its_end_is_not_tried_again_by_itself(
    live: Color, phase: Phase, reason: str
) -> None:
    plan = ended(phase, reason, live=live).plan()
    assert not has_begun(plan)
    assert reason_of(plan) == reason
    assert plan.blocked is not None
    assert "psactl release retry psa-suite" in plan.blocked[1]


@ENDS
def test_another_version_is_tried(phase: Phase, reason: str) -> None:
    assert begun(ended(phase, reason, version="1.2.0").plan()).version == "1.2.0"


@ENDS
def test_an_unrelated_edit_lifts_nothing(phase: Phase, reason: str) -> None:
    assert not has_begun(ended(phase, reason, spec={"watch": "5m", "soak": "1h"}).plan())


@ENDS
def test_the_retry_annotation_lifts_it_once(phase: Phase, reason: str) -> None:
    scene = ended(phase, reason, release={"annotations": {RETRY: "now it is mended"}})
    attempt = begun(scene.plan())
    again = replace(scene, attempt={**scene.attempt, "fingerprint": attempt.fingerprint})
    assert not has_begun(again.plan())


@ENDS
def test_a_person_lifts_it(phase: Phase, reason: str) -> None:
    plan = ended(phase, reason).asked("retry")
    assert begun(plan).number == 2
    (answer,) = (write for write in plan.writes if isinstance(write, Answer))
    assert answer.accepted


def test_what_was_superseded_may_be_tried_again() -> None:
    assert has_begun(ended(Phase.ROLLED_BACK, "Superseded").plan())


def in_quarantine(version: str = NEW) -> dict[str, object]:
    release = Scene(attempt=NONE_YET, version=version).resource()
    template = f"local:vztmpl/{GATEWAY}_{version}_amd64.tar.zst"
    print_of = fingerprint(release, {GATEWAY: template})
    entry = Quarantined(fingerprint=print_of, version=version, attempt=1, reason="5 % of 200", at=START)
    return {"quarantine": (entry,)}


def test_a_quarantine_outlasts_the_attempts_of_other_versions() -> None:
    scene = ended(Phase.COMPLETED, attempt={"number": 2, "version": "1.2.0"}, status=in_quarantine())
    plan = scene.plan()
    assert reason_of(plan) == "Quarantined"
    assert plan.blocked is not None
    assert "since attempt 1: 5 % of 200" in plan.blocked[1]


def test_a_retry_lifts_the_quarantine_of_that_version_although_another_one_completed_since() -> None:
    scene = ended(Phase.COMPLETED, attempt={"number": 2, "version": "1.2.0"}, status=in_quarantine())
    plan = scene.asked("retry")
    assert begun(plan).version == NEW
    assert isinstance(plan.status, ReleaseStatus)
    assert plan.status.quarantine == ()


@pytest.mark.parametrize("verb", ["promote", "pause", "resume", "abort", "rollback", "explode"])
def test_without_an_attempt_other_requests_are_refused(verb: str) -> None:
    plan = ended(Phase.COMPLETED, version=OLD).asked(verb)
    (answer,) = (write for write in plan.writes if isinstance(write, Answer))
    assert (answer.accepted, answer.message) == (False, "psa-suite: no attempt is running")
    assert Note("RequestRefused", f"{verb} refused: no attempt is running", warning=True) in plan.writes


def test_a_retry_where_nothing_failed_is_refused() -> None:
    (answer,) = (write for write in at_rest(version=OLD).asked("retry").writes if isinstance(write, Answer))
    assert not answer.accepted


def test_what_was_answered_is_not_answered_again() -> None:
    answered = replace(a_request("retry"), answer="nothing failed")
    plan = ended(Phase.ROLLED_BACK, "ErrorRate", release={"requests": (answered,)}).plan()
    assert not has_begun(plan)
    assert [write for write in plan.writes if isinstance(write, Answer)] == []


def test_templates_and_version_and_retry_make_the_fingerprint_and_nothing_else_does() -> None:
    release = Scene(attempt=NONE_YET).resource()
    templates = {GATEWAY: "a", CRM: "b"}
    first = fingerprint(release, templates)
    assert fingerprint(release, dict(reversed(templates.items()))) == first
    assert fingerprint(replace(release, annotations={RETRY: "1"}), templates) != first
    assert fingerprint(release, {GATEWAY: "a", CRM: "c"}) != first
    assert fingerprint(replace(release, labels={"team": "crm"}), templates) == first


def test_a_service_that_nobody_has_looked_at_is_told_by_its_name() -> None:
    plan = at_rest(services=2, members={1: {"service": replace(a_service(1), status=None)}}).plan()
    assert plan.waiting is not None
    assert CRM in plan.waiting
