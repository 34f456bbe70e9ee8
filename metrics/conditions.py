"""The conditions of all objects: most of what is exported, so their lines are kept as they are sent."""

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

STATUSES: Final = ("True", "False", "Unknown")
_NAME: Final = "psa_resource_condition"
_LABELS: Final = ("kind", "name", "type", "status")
_MEANING: Final = "1 for the status that a condition of an object has, 0 for the others"


class ConditionSeries(Collector):
    """27 series an object: prometheus_client needs 5 us to write each, each time that it is asked."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], dict[str, str]] = {}
        self._lines: dict[tuple[str, str], str] = {}

    def set(self, kind: str, name: str, statuses: Mapping[str, str]) -> None:
        """Set one series a condition and status, 1 for the status that it has; *statuses* is by type."""
        known = self._known.setdefault((kind, name), {})
        known |= statuses
        head = f'{_NAME}{{kind="{kind}",name="{name}",'
        # Kinds, names, types and statuses have no character that the format would escape.
        self._lines[kind, name] = "".join(
            f'{head}type="{condition}",status="{status}"}} {found == status:d}\n'
            for condition, found in known.items()
            for status in STATUSES
        )

    def forget(self, kind: str, name: str) -> None:
        """Remove all series of an object."""
        self._known.pop((kind, name), None)
        self._lines.pop((kind, name), None)

    def text(self) -> bytes:
        """Return all series in Prometheus's text format."""
        head = f"# HELP {_NAME} {_MEANING}\n# TYPE {_NAME} gauge\n"
        return "".join((head, *self._lines.values())).encode()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the family, for a registry."""
        family = GaugeMetricFamily(_NAME, _MEANING, labels=_LABELS)
        for (kind, name), statuses in self._known.items():
            for condition, found in statuses.items():
                for status in STATUSES:
                    family.add_metric((kind, name, condition, status), found == status)
        yield family
