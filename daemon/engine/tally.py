"""What a pass did outside, in the words of ``psa_effects_total``."""

from collections.abc import Iterable
from typing import Final

from daemon.engine.passes import Passed
from reconcilers.contract import Close, NotSentError, OutcomeKind, PermanentError

_ENDS: Final = {OutcomeKind.DONE: "ok", OutcomeKind.FAILED: "failed"}


def effects(passed: Passed) -> Iterable[str]:
    """Yield a word for each mutation that was asked for, and for each earlier one whose end was found.

    ``ok`` and ``failed`` are ends. ``started`` (a task began) and ``unknown`` (no answer) are none: what
    became of those is counted again when it is known.
    """
    ran = passed.ran
    if not passed.withheld:
        yield from ("ok" for _ in ran.done)
        yield from ("started" for _ in ran.running)
        yield from ("failed" for _ in ran.refused)
        if ran.error is not None:
            surely_not = isinstance(ran.error, NotSentError | PermanentError)
            yield "failed" if surely_not else "unknown"
    if passed.look.plan is not None and not passed.stale:
        found = [write.outcome.kind for write in passed.look.plan.writes if isinstance(write, Close)]
        yield from (_ENDS[kind] for kind in found if kind in _ENDS)
