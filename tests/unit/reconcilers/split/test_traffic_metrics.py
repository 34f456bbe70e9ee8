"""Shares and wrong-colour seconds, as Prometheus sees them."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from crds.meta import Key
from metrics.traffic import TrafficMetrics
from reconcilers.contract import TransientError
from reconcilers.split.reconciler import SplitReconciler
from tests.builders import START
from tests.builders_haproxy import NAME, Desk, a_backend, a_split_to
from tests.fakes.haproxy import FakeHaproxy


class Watched:
    """A split on a desk with a clock in hand, and what is exported of it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.registry = CollectorRegistry()
        self.haproxy = FakeHaproxy(a_backend())
        metrics = TrafficMetrics(self.registry)
        self.desk = Desk(
            {"TrafficSplit": SplitReconciler(self.haproxy, metrics, lambda: START, lambda: self.now)}
        )
        self.key: Key = self.desk.put(a_split_to("blue")).key

    async def pass_at(self, now: float) -> None:
        self.now = now
        await self.desk.one_pass(self.key)

    def wrong_s(self) -> float | None:
        return self.registry.get_sample_value("psa_wrong_color_seconds_total", {"service": NAME})

    def ratio(self, server: str, view: str) -> float | None:
        labels = {"service": NAME, "server": server, "view": view}
        return self.registry.get_sample_value("psa_traffic_weight_ratio", labels)


@pytest.fixture
async def watched() -> Watched:
    """Return a split that was brought about and has been read back at 101 s."""
    watched = Watched()
    await watched.pass_at(100.0)
    await watched.pass_at(101.0)
    return watched


def test_the_first_looks_at_a_split_count_nothing(watched: Watched) -> None:
    assert watched.wrong_s() == 0.0


async def test_a_reload_counts_from_the_last_right_look_to_the_next_one(watched: Watched) -> None:
    watched.haproxy.reload()
    watched.haproxy.nodes[0].uptime_s = 5
    await watched.pass_at(102.0)
    await watched.pass_at(102.25)
    assert watched.wrong_s() == 1.25
    await watched.pass_at(103.25)
    assert watched.wrong_s() == 1.25


async def test_a_reload_is_not_older_than_its_process(watched: Watched) -> None:
    watched.haproxy.reload()
    await watched.pass_at(161.0)
    # uptime is cut off to whole seconds: 0, and 1 after the fake's own check
    assert watched.wrong_s() == 2.0


async def test_a_changed_split_is_not_wrong_until_it_was_carried_out(watched: Watched) -> None:
    watched.desk.put(replace(a_split_to("green"), generation=2))
    await watched.pass_at(102.0)
    assert watched.wrong_s() == 0.0


async def test_time_without_a_look_is_not_counted(watched: Watched) -> None:
    watched.haproxy.nodes[0].refuses = TransientError("gone")
    with pytest.raises(TransientError):
        await watched.pass_at(102.0)
    assert watched.ratio("blue", "observed") is None
    assert watched.ratio("blue", "asked") == 1.0
    watched.haproxy.nodes[0].refuses = None
    watched.haproxy.reload()
    await watched.pass_at(160.0)
    assert watched.wrong_s() == 0.0


async def test_asked_and_observed_shares_are_exported(watched: Watched) -> None:
    watched.haproxy.nodes[0].change("api_backend", "green", weight=100, admin=0)
    await watched.pass_at(102.0)
    assert [watched.ratio("blue", "asked"), watched.ratio("green", "asked")] == [1.0, 0.0]
    assert [watched.ratio("blue", "observed"), watched.ratio("green", "observed")] == [0.5, 0.5]


def test_the_series_go_with_the_object(watched: Watched) -> None:
    watched.desk.reconcilers[watched.key.kind].gone(watched.key)
    assert watched.wrong_s() is None
    assert watched.ratio("blue", "asked") is None


async def test_another_service_of_the_same_split_takes_the_place_of_the_former_one(watched: Watched) -> None:
    split = watched.desk.state.objects[watched.key]
    watched.desk.put(replace(split, spec=split.spec.model_copy(update={"service": "other"})))
    await watched.pass_at(102.0)
    assert watched.wrong_s() is None
    assert watched.registry.get_sample_value("psa_wrong_color_seconds_total", {"service": "other"}) == 0.0
