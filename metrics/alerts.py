"""What became of the alerts that Alertmanager sent."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter

RESULTS: Final = (
    "acted",
    "resolved",
    "duplicate",
    "early",
    "late",
    "ambiguous",
    "unknown",
    "unauthorized",
    "malformed",
    "dropped",
)
"""The last three but ``dropped`` are counted in requests: what is in them was not read."""


class AlertMetrics:
    """The family of alerts, in a registry of the caller's; no label of an alert becomes one of a metric."""

    def __init__(self, registry: CollectorRegistry) -> None:
        text = (
            "Alerts by what became of them: acted on or why not; dropped ones are sent again; requests that "
            "were unauthorized or malformed"
        )
        self._alerts = Counter("psa_alerts", text, ["result"], registry=registry)
        for result in RESULTS:
            self._alerts.labels(result)

    def count(self, result: str, number: int = 1) -> None:
        """Count alerts; *result* is one of RESULTS."""
        self._alerts.labels(result).inc(number)
