"""Elasticsearch objects for tests, and desks that drive them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry

from crds.elasticsearch import ElasticsearchSpec
from crds.meta import Key
from metrics.elasticsearch import ElasticsearchMetrics
from reconcilers.contract import AnyResource, Plan
from reconcilers.elasticsearch.client import ElasticsearchClusters, Reply, Request, Wire
from reconcilers.elasticsearch.reconciler import ElasticsearchReconciler
from reconcilers.gauges import Gauges
from tests.builders import START, a_resource
from tests.builders_haproxy import Desk
from tests.fakes.elasticsearch import CoreWire

EXAMPLE = Path(__file__).parents[1] / "examples/psa-platform/data-services/psa-elasticsearch.yaml"
KEY = Key("Elasticsearch", "psa-elasticsearch")


def example_spec() -> dict[str, Any]:
    """Return the example's spec."""
    spec: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())["spec"]
    return {**spec, "endpoint": "es", "dependsOn": []}


def an_elasticsearch(**spec: object) -> AnyResource:
    """Return an object; keywords are the fields of a file, in camelCase."""
    model = ElasticsearchSpec.model_validate({"endpoint": "es", **spec})
    return a_resource(model, KEY.name, KEY.kind)


def a_policy(**ages: str) -> dict[str, Any]:
    """Return a policy by the minimum ages of its phases; delete deletes."""
    return {
        "phases": {
            phase: {"minAge": age, "actions": {"delete": {}} if phase == "delete" else {}}
            for phase, age in ages.items()
        }
    }


@dataclass
class Recorded:
    """A wire that keeps what was sent through it."""

    inner: Wire
    sent: list[Request]

    async def ask(self, request: Request) -> Reply:
        self.sent.append(request)
        return await self.inner.ask(request)


@dataclass
class Driven:
    """A desk that drives one object, with every request that went out."""

    desk: Desk
    sent: list[Request]

    @property
    def changes(self) -> list[Request]:
        """The requests that changed something."""
        return [each for each in self.sent if each.method != "GET"]

    async def quiet(self) -> Plan[Any]:
        """Make passes until nothing is left to do."""
        return await self.desk.until_quiet(KEY)

    async def look(self) -> Plan[Any]:
        return await self.desk.look(KEY)

    def ask_for(self, **spec: object) -> None:
        """Change the file."""
        self.desk.put(an_elasticsearch(**spec))


def drive(wire: Wire, resource: AnyResource | None = None) -> Driven:
    """Put an object, the example's by default, on a desk before *wire*."""
    sent: list[Request] = []
    clusters = ElasticsearchClusters({"es": Recorded(wire, sent)})
    metrics = ElasticsearchMetrics(CollectorRegistry())
    desk = Desk({KEY.kind: ElasticsearchReconciler(clusters, metrics, Gauges(), lambda: START)})
    desk.put(resource or an_elasticsearch(**example_spec()))
    return Driven(desk, sent)


def drive_core(**spec: object) -> tuple[Driven, CoreWire]:
    """Put an object on a desk before an empty cluster without HTTP."""
    core = CoreWire()
    return drive(core, an_elasticsearch(**spec) if spec else None), core


async def by_hand(
    wire: Wire, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str
) -> Any:
    """Send one request as a person would; *path* has slashes."""
    segments = tuple(part for part in path.split("/") if part)
    text = None if body is None else json.dumps(body)
    return (await wire.ask(Request(method, segments, tuple(query.items()), text))).found
