"""Steps that the outside refused for good, kept so that one of them holds back no other one."""

from dataclasses import dataclass, replace
from typing import Any, Final

from reconcilers.contract import PermanentError, Plan, Step

AGAIN_AFTER_S: Final = 300.0
"""What it was refused for may be over without anybody telling us."""
_KEPT_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class _Refusal:
    action: object
    error: PermanentError
    at: float
    is_due: bool = False


class Refusals:
    """What was refused of one object, by action. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._known: tuple[_Refusal, ...] = ()

    def note(self, step: Step[Any], error: PermanentError, now: float) -> bool:
        """Keep a refusal; return whether it is news."""
        before = self._of(step)
        left = (each for each in self._known if each.action != step.action and now - each.at < _KEPT_S)
        self._known = (*left, _Refusal(step.action, error, now))
        return before is None or str(before.error) != str(error)

    def succeeded(self, step: Step[Any]) -> None:
        """Forget that *step* was refused; what builds on it may be taken now, so all others are due."""
        others = (each for each in self._known if each.action != step.action)
        self._known = tuple(replace(each, is_due=True) for each in others)

    def forget(self) -> None:
        """Forget everything: somebody wants it to be tried now."""
        self._known = ()

    def sorted_out(self, plan: Plan[Any], now: float) -> Plan[Any]:
        """Return *plan* without what was refused lately; that is why it is blocked.

        What is tried again comes last, for it may build on the others.
        """
        refused = [(step, known) for step in plan.steps if (known := self._of(step)) is not None]
        if not refused:
            return plan
        again = tuple(step for step, known in refused if known.is_due or now - known.at >= AGAIN_AFTER_S)
        rest = tuple(step for step in plan.steps if self._of(step) is None)
        blocked = [plan.blocked] if plan.blocked is not None else []
        blocked += [(known.error.reason, str(known.error)) for _, known in refused]
        texts = dict.fromkeys(message for _, message in blocked)
        return replace(plan, steps=(*rest, *again), blocked=(blocked[0][0], "; ".join(texts)))

    def _of(self, step: Step[Any]) -> _Refusal | None:
        return next((each for each in self._known if each.action == step.action), None)
