"""Says Unknown of what has not been seen for three poll intervals (DESIGN §3)."""

from collections.abc import Callable, Mapping
from datetime import timedelta

import structlog

from crds.meta import ConditionType, Key, Truth
from daemon.engine.memory import Memory
from daemon.engine.passes import AnyReconciler, poll_interval
from daemon.ports import Clock
from daemon.store.operations import Report
from daemon.store.store import CommitError, Store
from reconcilers.contract import Verdict

log = structlog.stdlib.get_logger()


def is_stale(memory: Memory, interval: timedelta, now: float) -> bool:
    """Whether the last observation is older than three poll intervals; *now* is monotonic seconds."""
    return now - memory.seen_at > 3 * interval.total_seconds()


async def watch_staleness(
    store: Store,
    reconcilers: Mapping[str, AnyReconciler],
    memory: Callable[[Key], Memory],
    clock: Clock,
) -> None:
    """For ever: say Unknown of what has not been seen for three poll intervals."""
    while True:
        await clock.sleep(1.0)
        now = clock.monotonic()
        for key, resource in store.state.objects.items():
            ready = resource.condition(ConditionType.READY)
            known = ready is not None and ready.status is not Truth.UNKNOWN
            if known and is_stale(memory(key), poll_interval(reconcilers[key.kind], resource), now):
                await _say_stale(store, key, clock)


async def _say_stale(store: Store, key: Key, clock: Clock) -> None:
    message = "the last observation is older than three poll intervals"
    verdict = Verdict(ConditionType.READY, Truth.UNKNOWN, "ObservationStale", message)
    try:
        await store.commit([Report(key, clock.now(), (verdict,))])
    except CommitError as exc:
        log.exception("commit.failed", object=str(key), error=str(exc))
