"""Steps that the outside refused for good, kept so that one of them holds back no other one."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from reconcilers.contract import NotSentError, PermanentError, Plan, Step

ActionT = TypeVar("ActionT")
#: A refusal that concerns the whole server: no other step would be taken either.
_WHOLE: Final = frozenset(
    {
        "CommandDisabled",
        "ManagementPluginMissing",
        "ProtectedMode",
        "SecretUnavailable",
        "TlsFailed",
        "UnknownEndpoint",
        "WrongCredentials",
        "WrongPassword",
    }
)
AGAIN_AFTER: Final = timedelta(minutes=5)
"""What it was refused for may be over without anybody telling us."""
_KEPT: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Refusal:
    action: object
    reason: str
    message: str
    at: datetime
    is_due: bool = False


class Refusals:
    """What was refused, by action; in memory only: a new process finds out anew."""

    def __init__(self) -> None:
        self._known: list[_Refusal] = []

    def note(self, step: Step[Any], error: PermanentError, now: datetime) -> PermanentError | NotSentError:
        """Keep a refusal, and return what to raise: an error after which the others are tried soon."""
        if error.reason in _WHOLE:
            return error
        left = [each for each in self._known if each.action != step.action and now - each.at < _KEPT]
        self._known = [*left, _Refusal(step.action, error.reason, str(error), now)]
        return NotSentError(f"refused: {error}")

    def succeeded(self, step: Step[Any]) -> None:
        """Forget that *step* was refused; what builds on it may be taken now, so all others are due."""
        others = [each for each in self._known if each.action != step.action]
        self._known = [replace(each, is_due=True) for each in others]

    def sorted_out(self, plan: Plan[ActionT], now: datetime) -> Plan[ActionT]:
        """Return *plan* without what was refused lately; that is why it is blocked.

        What is tried again comes last: the engine goes no further than to the first step that fails.
        """
        refused = [(step, known) for step in plan.steps if (known := self._of(step)) is not None]
        if not refused:
            return plan
        again = tuple(step for step, known in refused if known.is_due or now - known.at >= AGAIN_AFTER)
        rest = tuple(step for step in plan.steps if self._of(step) is None)
        reasons = [
            *([] if plan.blocked is None else [plan.blocked[0]]),
            *(each.reason for _, each in refused),
        ]
        texts = [*([] if plan.blocked is None else [plan.blocked[1]]), *(each.message for _, each in refused)]
        return replace(plan, steps=(*rest, *again), blocked=(reasons[0], "; ".join(dict.fromkeys(texts))))

    def _of(self, step: Step[Any]) -> _Refusal | None:
        return next((each for each in self._known if each.action == step.action), None)
