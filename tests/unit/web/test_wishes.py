"""What a person writes into a split while a release writes, too: neither undoes the other."""

from collections.abc import Iterable
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from crds.balancer import Override, TrafficSplitSpec
from crds.meta import Key, Mode
from daemon.engine.controller import Controller
from daemon.store.database import Database
from daemon.store.operations import Apply, Operation
from daemon.store.state import State
from daemon.store.store import Store
from daemon.web.wishes import ConflictError, Wishes
from metrics.engine import EngineMetrics
from metrics.traffic import TrafficMetrics
from reconcilers.contract import AnyResource
from reconcilers.split.reconciler import SplitReconciler
from tests.builders import START
from tests.builders_haproxy import NAME, a_backend, a_split_to
from tests.fakes.haproxy import FakeHaproxy
from tests.simulation.ports import InlineExecutor, SeededRandom, VirtualClock

SPLIT, OWNER = Key("TrafficSplit", NAME), Key("Service", NAME)
OVERRIDE = Override(blue=0, green=100, until=START + timedelta(hours=1), reason="blue errs", actor="uid 1000")
LABELS, ANNOTATIONS = {"team": "a"}, {"psa.platform/service": NAME}


class Racing(Store):
    """A store into which a release writes right before the person's next writes."""

    releases: list[Operation]

    async def commit(self, operations: Iterable[Operation]) -> State:
        if self.releases:
            await super().commit([self.releases.pop(0)])
        return await super().commit(operations)


def written(weight: int) -> Apply:
    """Return what a release writes: blue has *weight*."""
    spec = a_split_to("blue").spec
    assert isinstance(spec, TrafficSplitSpec)
    blue = spec.blue.model_copy(update={"weight": weight})
    shares = spec.model_copy(update={"blue": blue})
    return Apply(SPLIT, "5" * 32, shares, START, LABELS, ANNOTATIONS, owner=OWNER)


async def a_race(*releases: Operation) -> tuple[Racing, Wishes]:
    """Return wishes over a split that a release changes once for each commit to come."""
    store = Racing(Database(":memory:"), InlineExecutor())
    store.releases = []
    await store.commit([written(100)])
    clock, registry = VirtualClock(), CollectorRegistry()
    kinds = {"TrafficSplit": SplitReconciler(FakeHaproxy(a_backend()), TrafficMetrics(registry), clock.now)}
    metrics = EngineMetrics(registry, version="test", kinds=kinds, systems={})
    controller = Controller(store, kinds, clock, SeededRandom(1), metrics, mode=Mode.ENFORCE)
    store.releases = list(releases)
    return store, Wishes(store, controller, clock)


def split_of(store: Store) -> tuple[AnyResource, TrafficSplitSpec]:
    found = store.state.objects[SPLIT]
    assert isinstance(found.spec, TrafficSplitSpec)
    return found, found.spec


async def test_an_override_is_laid_over_what_a_release_wrote_at_the_same_moment() -> None:
    store, wishes = await a_race(written(60))
    await wishes.override(NAME, OVERRIDE)
    found, spec = split_of(store)
    assert (spec.blue.weight, spec.override) == (60, OVERRIDE)
    assert (found.owner, found.labels, found.annotations) == (OWNER, LABELS, ANNOTATIONS)
    assert [event.reason for event in store.events(SPLIT)] == ["TrafficSet"]


async def test_who_is_overtaken_twice_is_told_and_nothing_of_it_is_kept() -> None:
    store, wishes = await a_race(written(60), written(70))
    with pytest.raises(ConflictError, match="seen at generation 2, now 3") as told:
        await wishes.override(NAME, OVERRIDE)
    assert told.value.code == "Stale"
    assert split_of(store)[1].override is None
    assert store.events(SPLIT) == ()


async def test_giving_the_traffic_back_leaves_what_a_release_wrote_at_the_same_moment() -> None:
    store, wishes = await a_race()
    await wishes.override(NAME, OVERRIDE)
    spec = split_of(store)[1].model_copy(update={"green": split_of(store)[1].green.given(40)})
    store.releases = [Apply(SPLIT, "5" * 32, spec, START, owner=OWNER)]
    await wishes.clear_override(NAME, "well", "uid 1000")
    assert (split_of(store)[1].green.weight, split_of(store)[1].override) == (40, None)
