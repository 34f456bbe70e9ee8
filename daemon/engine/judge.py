"""What a pass says of an object: plan, gate and effects become conditions. Pure."""

from typing import Any, Final

from crds.meta import ConditionType, Truth
from daemon.engine.effects import Ran
from daemon.engine.gate import Gated, Hold
from reconcilers.contract import AnyResource, PermanentError, Plan, Verdict

#: Holds that end only when somebody acts.
_STALLING: Final = frozenset({"NotAllowed", "AdoptionRequired", "DependencyCycle"})


def judge(
    resource: AnyResource, plan: Plan[Any], gated: Gated, ran: Ran, waits_for: Hold | None
) -> tuple[Verdict, ...]:
    """Return all verdicts of a pass that could see the real thing."""
    said = {verdict.type: verdict for verdict in plan.verdicts}
    derived = (
        _synced(plan, gated, ran),
        _progressing(plan, ran),
        Verdict(ConditionType.DEGRADED, Truth.FALSE, "Whole"),
        _drifted(resource, plan),
        _stalled(plan, gated, ran),
        _dependencies_ready(waits_for),
        _adopted(resource, plan),
        _ready(plan, gated, ran),
    )
    merged = {verdict.type: verdict for verdict in derived} | said
    return tuple(merged.values())


def differences(plan: Plan[Any]) -> int:
    """Return how many steps remove a difference; errands do not."""
    return sum(not step.errand for step in plan.steps)


def judge_blind(resource: AnyResource, reason: str, message: str, *, stalled: bool) -> tuple[Verdict, ...]:
    """Return the verdicts of a pass that could not look, or whose plan broke. Ready is left as it was."""
    verdicts = [
        Verdict(ConditionType.SYNCED, Truth.UNKNOWN, reason, message),
        Verdict(ConditionType.PROGRESSING, Truth.FALSE, reason),
        Verdict(ConditionType.STALLED, _truth(stalled), reason, message if stalled else ""),
    ]
    if resource.condition(ConditionType.READY) is None:
        verdicts.append(Verdict(ConditionType.READY, Truth.UNKNOWN, reason, message))
    return tuple(verdicts)


def _truth(value: bool) -> Truth:  # noqa: FBT001 - a conversion, not a switch
    return Truth.TRUE if value else Truth.FALSE


def _trouble(plan: Plan[Any], gated: Gated, ran: Ran) -> tuple[str, str] | None:
    """Return reason and message of what stands between the object and its spec, the gravest first."""
    if plan.blocked is not None:
        return plan.blocked
    if ran.error is not None:
        reason = ran.error.reason if isinstance(ran.error, PermanentError) else "ApplyFailed"
        return reason, str(ran.error)
    if plan.failed is not None:
        return "StepFailed", plan.failed
    if gated.hold is not None:
        return gated.hold.reason, gated.hold.message
    if plan.waiting is not None:
        return "Waiting", plan.waiting
    return None


def _ready(plan: Plan[Any], gated: Gated, ran: Ran) -> Verdict:
    trouble = _trouble(plan, gated, ran)
    if trouble is not None:
        return Verdict(ConditionType.READY, Truth.FALSE, *trouble)
    if differences(plan):
        return Verdict(ConditionType.READY, Truth.FALSE, "Changing", _summary(plan))
    return Verdict(ConditionType.READY, Truth.TRUE, "AsAsked")


def _synced(plan: Plan[Any], gated: Gated, ran: Ran) -> Verdict:
    trouble = _trouble(plan, gated, ran)
    if trouble is not None:
        return Verdict(ConditionType.SYNCED, Truth.FALSE, *trouble)
    if plan.steps and not ran.done and not ran.running:
        return Verdict(ConditionType.SYNCED, Truth.FALSE, "NoEffect", _summary(plan))
    if ran.running:
        return Verdict(ConditionType.SYNCED, Truth.FALSE, "Running", ran.running[0].summary)
    return Verdict(ConditionType.SYNCED, Truth.TRUE, "NoDifference")


def _progressing(plan: Plan[Any], ran: Ran) -> Verdict:
    if plan.waiting is not None:
        return Verdict(ConditionType.PROGRESSING, Truth.TRUE, "Waiting", plan.waiting)
    if ran.done or ran.running:
        return Verdict(ConditionType.PROGRESSING, Truth.TRUE, "Applying", _summary(plan))
    return Verdict(ConditionType.PROGRESSING, Truth.FALSE, "Idle")


def _drifted(resource: AnyResource, plan: Plan[Any]) -> Verdict:
    if not differences(plan):
        return Verdict(ConditionType.DRIFTED, Truth.FALSE, "NoDifference")
    before = resource.condition(ConditionType.DRIFTED)
    synced = resource.condition(ConditionType.SYNCED)
    same_spec = resource.observed_generation == resource.generation
    was_synced = synced is not None and synced.status is Truth.TRUE
    if same_spec and (was_synced or (before is not None and before.status is Truth.TRUE)):
        return Verdict(ConditionType.DRIFTED, Truth.TRUE, "ChangedOutside", _summary(plan))
    return Verdict(ConditionType.DRIFTED, Truth.FALSE, "SpecChanged")


def _stalled(plan: Plan[Any], gated: Gated, ran: Ran) -> Verdict:
    if plan.blocked is not None:
        return Verdict(ConditionType.STALLED, Truth.TRUE, *plan.blocked)
    if isinstance(ran.error, PermanentError):
        return Verdict(ConditionType.STALLED, Truth.TRUE, ran.error.reason, str(ran.error))
    if gated.hold is not None and gated.hold.reason in _STALLING:
        return Verdict(ConditionType.STALLED, Truth.TRUE, gated.hold.reason, gated.hold.message)
    return Verdict(ConditionType.STALLED, Truth.FALSE, "Moving")


def _dependencies_ready(waits_for: Hold | None) -> Verdict:
    if waits_for is None:
        return Verdict(ConditionType.DEPENDENCIES_READY, Truth.TRUE, "AllReady")
    return Verdict(ConditionType.DEPENDENCIES_READY, Truth.FALSE, waits_for.reason, waits_for.message)


def _adopted(resource: AnyResource, plan: Plan[Any]) -> Verdict:
    if plan.foreign is None:
        return Verdict(ConditionType.ADOPTED, Truth.TRUE, "Ours")
    reason = "Adopting" if resource.spec.adopt else "AdoptionRequired"
    return Verdict(ConditionType.ADOPTED, Truth.FALSE, reason, plan.foreign)


def _summary(plan: Plan[Any]) -> str:
    first = plan.steps[0].summary
    return first if len(plan.steps) == 1 else f"{first}, and {len(plan.steps) - 1} more"
