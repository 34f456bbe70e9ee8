"""Steps that the outside refused for good, kept so that one of them holds back no other one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from reconcilers.contract import PermanentError, Plan, Step

AGAIN_AFTER_S: Final = 300.0
"""What it was refused for may be over without anybody telling us."""
_KEPT_S: Final = 3600.0
_TOLD: Final = 5


def some(texts: Sequence[str]) -> Iterator[str]:
    """Yield the first few of *texts*, and how many more there are: hundreds are no message."""
    yield from texts[:_TOLD]
    if len(texts) > _TOLD:
        yield f"and {len(texts) - _TOLD} more"


@dataclass(frozen=True, slots=True)
class _Refusal:
    action: object
    error: PermanentError
    at: float
    is_due: bool = False


class Refusals:
    """What was refused of one object, by action. Times are monotonic seconds."""

    def __init__(self) -> None:
        # By what people read of it first: a server may refuse hundreds, and actions have no hash.
        self._known: dict[str, tuple[_Refusal, ...]] = {}

    def note(self, step: Step[Any], error: PermanentError, now: float) -> bool:
        """Keep a refusal; return whether it is news."""
        before = self._of(step)
        self._forget(step)
        self._known[step.summary] = (*self._known.get(step.summary, ()), _Refusal(step.action, error, now))
        return before is None or str(before.error) != str(error)

    def succeeded(self, step: Step[Any]) -> None:
        """Forget that *step* was refused; what builds on it may be taken now, so all others are due."""
        self._forget(step)
        for summary, refusals in self._known.items():
            self._known[summary] = tuple(replace(each, is_due=True) for each in refusals)

    def forget(self) -> None:
        """Forget everything: somebody wants it to be tried now."""
        self._known.clear()

    def sorted_out(self, plan: Plan[Any], now: float) -> Plan[Any]:
        """Return *plan* without what was refused lately; that is why it is blocked.

        What is tried again comes last, for it may build on the others.
        """
        self._known = dict(self._recent(now))
        refused = [(step, known) for step in plan.steps if (known := self._of(step)) is not None]
        if not refused:
            return plan
        again = tuple(step for step, known in refused if known.is_due or now - known.at >= AGAIN_AFTER_S)
        rest = tuple(step for step in plan.steps if self._of(step) is None)
        blocked = [plan.blocked] if plan.blocked is not None else []
        blocked += [(known.error.reason, str(known.error)) for _, known in refused]
        texts = tuple(dict.fromkeys(message for _, message in blocked))
        return replace(plan, steps=(*rest, *again), blocked=(blocked[0][0], "; ".join(some(texts))))

    def _recent(self, now: float) -> Iterator[tuple[str, tuple[_Refusal, ...]]]:
        for summary, refusals in self._known.items():
            kept = tuple(each for each in refusals if now - each.at < _KEPT_S)
            if kept:
                yield summary, kept

    def _forget(self, step: Step[Any]) -> None:
        others = tuple(each for each in self._known.pop(step.summary, ()) if each.action != step.action)
        if others:
            self._known[step.summary] = others

    def _of(self, step: Step[Any]) -> _Refusal | None:
        return next((each for each in self._known.get(step.summary, ()) if each.action == step.action), None)
