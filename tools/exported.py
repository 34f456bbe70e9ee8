"""Writes docs/reference/metrics.md from the classes that export them. `--check` only compares."""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from metrics.alerts import AlertMetrics
from metrics.backends import BackendMetrics
from metrics.conditions import ConditionSeries
from metrics.elasticsearch import ElasticsearchMetrics
from metrics.engine import EngineMetrics
from metrics.hooks import HookMetrics
from metrics.pgbouncer import PgbouncerMetrics
from metrics.postgres import PostgresMetrics
from metrics.rabbitmq import RabbitMetrics
from metrics.redis import RedisMetrics
from metrics.releases import ReleaseMetrics
from metrics.responses import ResponseMetrics
from metrics.traffic import TrafficMetrics

TARGET: Final = Path(__file__).parents[1] / "docs/reference/metrics.md"
HEAD: Final = """<!-- Written by `make docs` from metrics/. Changes here are lost. -->

# Metrics

What `/metrics` exports: base units, `_total` on counters, one series a state with 0 or 1.
A series goes with the object that it is about; there are no `_created` ones. Alerts and recording rules
are in [metrics/rules](../../metrics/rules), dashboards in [metrics/dashboards](../../metrics/dashboards).
"""


def _daemon(registry: CollectorRegistry) -> None:
    EngineMetrics(registry, version="0", kinds=(), systems={})
    registry.register(ConditionSeries())


SUBJECTS: Final[tuple[tuple[str, Callable[[CollectorRegistry], object]], ...]] = (
    ("The daemon and its objects", _daemon),
    ("Backends: error rate and response time, at all times", BackendMetrics),
    ("HAProxy's log: response times", lambda registry: ResponseMetrics(registry, (), tuple)),
    ("Traffic: who gets it", TrafficMetrics),
    ("Releases", lambda registry: ReleaseMetrics(registry, phases=(), triggers=())),
    ("Hooks", lambda registry: HookMetrics(registry, ())),
    ("PostgreSQL", PostgresMetrics),
    ("pgBouncer", PgbouncerMetrics),
    ("RabbitMQ", RabbitMetrics),
    ("Redis", RedisMetrics),
    ("Elasticsearch", ElasticsearchMetrics),
    ("Alerts: what became of those that Alertmanager sent", AlertMetrics),
)


def registries() -> Iterator[tuple[str, CollectorRegistry]]:
    """Yield what each subject exports."""
    for title, register in SUBJECTS:
        registry = CollectorRegistry()
        register(registry)
        yield title, registry


def _labels(owner: object) -> tuple[str, ...]:
    return tuple(getattr(owner, "_labelnames", ()))


def rows(registry: CollectorRegistry) -> Iterator[str]:
    """Yield a table row for each family, by name."""
    collectors: list[Collector] = list(registry._collector_to_names)  # noqa: SLF001 - labels are nowhere else
    labels = {
        family.name: _labels(collector) or _labels(family)
        for collector in collectors
        for family in collector.collect()
    }
    yield "| name | type | labels | meaning |"
    yield "|---|---|---|---|"
    for family in sorted(registry.collect(), key=lambda each: each.name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        shown = " ".join(f"`{label}`" for label in labels[family.name])
        yield f"| `{name}` | {family.type} | {shown} | {family.documentation} |"


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for title, registry in registries():
        parts += [f"## {title}\n", "\n".join(rows(registry)), ""]
    return "\n".join(parts)


def main() -> None:
    """Write the page, or compare; exit 1 where it differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        if not TARGET.exists() or TARGET.read_text() != page():
            sys.exit(f"{TARGET} is not what metrics/ exports: make docs")
        return
    TARGET.write_text(page())
    print(TARGET.relative_to(TARGET.parents[2]))


if __name__ == "__main__":
    main()
