"""A look that the engine gives up leaves no figures behind that look like those of now."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from crds.meta import Key
from metrics.elasticsearch import ElasticsearchMetrics
from metrics.postgres import PostgresMetrics
from reconcilers.elasticsearch.client import ElasticsearchClusters, Request
from reconcilers.elasticsearch.client import Reply as ElasticReply
from reconcilers.elasticsearch.reconciler import ElasticsearchReconciler
from reconcilers.gauges import Gauges
from reconcilers.postgres.actions import Target
from reconcilers.postgres.model import SeenMember
from reconcilers.postgres.reconciler import PostgresReconciler
from reconcilers.rabbitmq.client import Call
from reconcilers.rabbitmq.client import Reply as RabbitReply
from reconcilers.redis.client import Command
from reconcilers.redis.client import Reply as RedisReply
from tests.builders import START
from tests.builders_elasticsearch import an_elasticsearch
from tests.builders_haproxy import Desk
from tests.fakes.elasticsearch import CoreWire
from tests.fakes.postgres import FakeMember, FakePostgres
from tests.fakes.rabbitmq import FakeRabbit
from tests.fakes.redis import FakeRedis
from tests.real_postgres import NamedSecrets, a_cluster
from tests.real_rabbitmq import a_rabbit
from tests.real_rabbitmq import drive as drive_rabbit
from tests.real_redis import a_redis
from tests.real_redis import drive as drive_redis


class Hold:
    """Lets all through, and from a moment on nobody."""

    is_on = False

    async def wait(self) -> None:
        if self.is_on:
            await asyncio.Event().wait()


@dataclass(frozen=True)
class Rig:
    """An object on a desk, and what its looks are told to; ``sample`` is one of its figures."""

    desk: Desk
    hold: Hold
    gauges: Gauges
    registry: CollectorRegistry
    sample: str

    @property
    def key(self) -> Key:
        return next(iter(self.desk.state.objects))

    def figures(self) -> list[float]:
        return [
            sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == self.sample
        ]


def redis_rig() -> Rig:
    hold = Hold()

    class Slow(FakeRedis):
        async def ask(self, *commands: Command) -> tuple[RedisReply, ...]:
            await hold.wait()
            return await super().ask(*commands)

    driven = drive_redis(a_redis(), redis=Slow())
    return Rig(driven.desk, hold, driven.gauges, driven.registry, "psa_redis_keys")


def rabbit_rig() -> Rig:
    hold = Hold()

    class Slow(FakeRabbit):
        async def send(self, call: Call) -> RabbitReply:
            await hold.wait()
            return await super().send(call)

    driven = drive_rabbit(Slow(), a_rabbit())
    return Rig(driven.desk, hold, driven.gauges, driven.registry, "psa_rabbitmq_node_running")


def elastic_rig() -> Rig:
    hold, gauges, registry = Hold(), Gauges(), CollectorRegistry()

    class Slow(CoreWire):
        async def ask(self, request: Request) -> ElasticReply:
            await hold.wait()
            return await super().ask(request)

    clusters = ElasticsearchClusters({"es": Slow()})
    reconciler = ElasticsearchReconciler(clusters, ElasticsearchMetrics(registry), gauges, lambda: START)
    desk = Desk({"Elasticsearch": reconciler})
    desk.put(an_elasticsearch())
    return Rig(desk, hold, gauges, registry, "psa_elasticsearch_nodes")


def postgres_rig() -> Rig:
    hold, gauges, registry = Hold(), Gauges(), CollectorRegistry()

    class Slow(FakePostgres):
        async def look(self, target: Target) -> SeenMember:
            await hold.wait()
            return await super().look(target)

    servers = Slow({"one": FakeMember("one", "10.0.30.10:5432")})
    reconciler = PostgresReconciler(
        servers, NamedSecrets({}), PostgresMetrics(registry), gauges, lambda: START
    )
    desk = Desk({"PostgresCluster": reconciler})
    desk.put(a_cluster())
    return Rig(desk, hold, gauges, registry, "psa_postgres_member_up")


@pytest.mark.parametrize("build", [redis_rig, rabbit_rig, elastic_rig, postgres_rig])
async def test_a_look_that_is_given_up_takes_its_figures_with_it(build: Callable[[], Rig]) -> None:
    rig = build()
    await rig.desk.one_pass(rig.key)
    assert rig.figures()
    assert rig.gauges.of(rig.key) is not None

    rig.hold.is_on = True
    looking: Awaitable[object] = rig.desk.look(rig.key)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await looking

    assert rig.figures() == []
    assert rig.gauges.of(rig.key) is None
