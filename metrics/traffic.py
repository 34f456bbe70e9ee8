"""Who gets the traffic: asked and observed shares, and for how long a colour had it that should not."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge


@dataclass(frozen=True, slots=True)
class _Look:
    """The last look at a split: monotonic seconds, and whether the wrong colour had traffic then."""

    asked: Hashable
    at: float
    is_wrong: bool


class TrafficMetrics:
    """All families of traffic splits, in a registry of the caller's. Series go with their service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ratio = Gauge(
            "psa_traffic_weight_ratio",
            "Part of the service's traffic that a server shall have (asked) and has (observed)",
            ["service", "server", "view"],
            registry=registry,
        )
        self._wrong = Counter(
            "psa_wrong_color_seconds",
            "Time for which a colour had traffic that should have none, at most",
            ["service"],
            registry=registry,
        )
        self._looks: dict[str, _Look] = {}
        self._counted: set[str] = set()
        self._series: dict[str, set[tuple[str, str]]] = {}

    def ratios(self, service: str, asked: Mapping[str, float], observed: Mapping[str, float]) -> None:
        """Set each server's part, 0 to 1; a server that is in neither any more loses its series."""
        series = {(server, "asked") for server in asked} | {(server, "observed") for server in observed}
        self._remove(service, self._series.get(service, set()) - series)
        self._series[service] = series
        for view, parts in (("asked", asked), ("observed", observed)):
            for server, part in parts.items():
                self._ratio.labels(service, server, view).set(part)

    def looked(self, service: str, *, asked: Hashable, at: float, wrong_for_at_most_s: float) -> None:
        """Count the time since the last look if the wrong colour had traffic at its begin or its end.

        *asked* is what the split asks for; if it is another than last time, the split was just changed.
        *wrong_for_at_most_s* is 0 if all is right now, else the age of the oldest process that is wrong:
        what a reload did is not older than the new process. A split that was just changed is not wrong yet.
        """
        counter, before = self._wrong.labels(service), self._looks.get(service)
        self._counted.add(service)
        is_changed = before is None or before.asked != asked
        is_wrong = wrong_for_at_most_s > 0 and not is_changed
        if before is not None and before.is_wrong:
            counter.inc(at - before.at)
        elif before is not None and is_wrong:
            counter.inc(min(at - before.at, wrong_for_at_most_s))
        self._looks[service] = _Look(asked, at, is_wrong)

    def unseen(self, service: str) -> None:
        """No node answered: nothing is known of what is observed, nor of the time until the next look."""
        self._looks.pop(service, None)
        kept = {(server, view) for server, view in self._series.get(service, set()) if view == "asked"}
        self._remove(service, self._series.get(service, set()) - kept)
        self._series[service] = kept

    def forget(self, service: str) -> None:
        """Remove the series of a service."""
        self._remove(service, self._series.pop(service, set()))
        self._looks.pop(service, None)
        if service in self._counted:
            self._counted.remove(service)
            self._wrong.remove(service)

    def _remove(self, service: str, series: Iterable[tuple[str, str]]) -> None:
        for server, view in series:
            self._ratio.remove(service, server, view)
