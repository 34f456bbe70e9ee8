"""The loop's pulse: how late it is, and whether the daemon may tell systemd that it is alive."""

from collections.abc import Callable
from typing import Final

from crds.meta import Mode
from daemon.engine.controller import Controller
from daemon.ports import Clock
from metrics.engine import EngineMetrics

PULSE_S: Final = 1.0
STUCK_AFTER_S: Final = 90.0
"""A pass that takes longer, or due work without any finished pass for so long, is no progress."""


class Heartbeat:
    """Beats once a second on the loop; ``last_beat`` is monotonic seconds, read by the liveness thread."""

    def __init__(
        self, clock: Clock, controller: Controller, metrics: EngineMetrics, alive: Callable[[], None]
    ) -> None:
        """Call *alive* at each beat while the engine makes progress."""
        self._clock = clock
        self._controller = controller
        self._metrics = metrics
        self._alive = alive
        self.last_beat = clock.monotonic()

    async def beat(self) -> None:
        """Beat for ever."""
        while True:
            self._metrics.mode(enforce=self._controller.mode is Mode.ENFORCE)
            expected = self._clock.monotonic() + PULSE_S
            await self._clock.sleep(PULSE_S)
            self.last_beat = self._clock.monotonic()
            self._metrics.loop_lag(max(0.0, self.last_beat - expected))
            if self.is_moving():
                self._alive()

    def is_moving(self) -> bool:
        """Whether passes end while there is work; a loop that only turns is not alive."""
        idle_s = self._clock.monotonic() - self._controller.last_progress
        stuck = self._controller.is_work_due() and idle_s > STUCK_AFTER_S
        return not stuck and self._controller.oldest_running_s() <= STUCK_AFTER_S
