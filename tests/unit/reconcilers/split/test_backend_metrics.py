"""Requests, errors and hidden failures of a split's servers, as Prometheus sees them."""

import math
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from crds.meta import Key
from metrics.backends import CODE_CLASSES, BackendMetrics
from metrics.traffic import TrafficMetrics
from reconcilers.contract import TransientError
from reconcilers.split.reconciler import SplitReconciler
from tests.builders import START
from tests.builders_haproxy import Desk, a_backend, a_split_to
from tests.fakes.haproxy import FakeHaproxy

FAMILIES = (
    "psa_backend_requests_total", "psa_backend_errors_total", "psa_backend_hidden_failures_total",
    "psa_backend_error_ratio",
)  # fmt: skip


class Counting:
    """A split on a desk with a clock in hand, and what is exported of its backend."""

    def __init__(self, nodes: int = 1) -> None:
        self.now = 100.0
        self.registry = CollectorRegistry()
        self.haproxy = FakeHaproxy(a_backend(), nodes=nodes)
        reconciler = SplitReconciler(
            self.haproxy,
            TrafficMetrics(self.registry),
            lambda: START,
            lambda: self.now,
            backends=BackendMetrics(self.registry),
        )
        self.desk = Desk({"TrafficSplit": reconciler})
        self.key: Key = self.desk.put(a_split_to("blue")).key

    async def later(self, seconds: float = 1.0) -> None:
        self.now += seconds
        await self.desk.one_pass(self.key)

    def value(self, family: str, server: str = "blue", **more: str) -> float | None:
        labels = {"endpoint": "edge", "backend": "api_backend", "server": server, **more}
        return self.registry.get_sample_value(family, labels)

    def codes(self, server: str = "blue") -> list[float | None]:
        return [self.value("psa_backend_requests_total", server, code_class=each) for each in CODE_CLASSES]

    @property
    def errors(self) -> float | None:
        return self.value("psa_backend_errors_total")

    @property
    def ratio(self) -> float | None:
        return self.value("psa_backend_error_ratio")

    def hidden(self, kind: str) -> float | None:
        return self.value("psa_backend_hidden_failures_total", kind=kind)

    def series(self) -> int:
        """Return how many series of backends there are; each counter has one more, of its begin."""
        families = [each for each in self.registry.collect() if each.name.startswith("psa_backend")]
        return sum(len(each.samples) for each in families)


@pytest.fixture
async def counting() -> Counting:
    """Return a backend that has been looked at once, with requests from before."""
    counting = Counting()
    counting.haproxy.serve("blue", 5000, answers_2xx=4000, errors_5xx=1000)
    await counting.later()
    return counting


def test_what_was_before_the_first_look_is_not_ours_to_count(counting: Counting) -> None:
    assert counting.codes() == counting.codes("green") == [0.0] * 5
    assert counting.errors == 0.0
    assert counting.ratio is not None
    assert math.isnan(counting.ratio)


async def test_answers_are_counted_by_their_class(counting: Counting) -> None:
    counting.haproxy.serve(
        "blue", 20, answers_1xx=1, answers_2xx=10, answers_3xx=2, answers_4xx=3, errors_5xx=4
    )
    await counting.later()
    assert counting.codes() == [1.0, 10.0, 2.0, 3.0, 4.0]
    assert counting.codes("green") == [0.0] * 5


async def test_errors_are_all_that_failed_and_the_ratio_is_their_part(counting: Counting) -> None:
    counting.haproxy.serve("blue", 94, answers_2xx=93, errors_5xx=1, refused=2, broken=4)
    await counting.later()
    assert counting.errors == 7.0
    assert counting.ratio == pytest.approx(0.07)


async def test_the_ratio_is_of_the_last_minute(counting: Counting) -> None:
    counting.haproxy.serve("blue", 10, errors_5xx=10)
    await counting.later()
    counting.haproxy.serve("blue", 30)
    await counting.later(59.0)
    assert counting.ratio == pytest.approx(0.25)
    await counting.later()
    assert counting.ratio == 0.0
    await counting.later(60.0)
    assert counting.ratio is not None
    assert math.isnan(counting.ratio)
    assert counting.errors == 10.0


async def test_a_reload_loses_what_the_old_process_had_since_the_last_look_and_nothing_else(
    counting: Counting,
) -> None:
    counting.haproxy.serve("blue", 10, errors_5xx=1)
    await counting.later()
    counting.haproxy.serve("blue", 5, errors_5xx=5)
    counting.haproxy.reload()
    counting.haproxy.serve("blue", 30, errors_5xx=3)
    await counting.later()
    assert counting.errors == 4.0
    assert counting.codes()[4] == 4.0


async def test_counters_that_were_cleared_count_on(counting: Counting) -> None:
    counting.haproxy.nodes[0].counters.clear()
    counting.haproxy.serve("blue", 3, errors_5xx=3)
    await counting.later()
    assert counting.errors == 3.0


async def test_both_nodes_of_a_pair_are_one_backend() -> None:
    counting = Counting(nodes=2)
    await counting.later()
    for number in (0, 1):
        counting.haproxy.serve("blue", 50, number=number, errors_5xx=number)
    await counting.later()
    assert (counting.errors, counting.ratio) == (1.0, 0.01)


async def test_a_node_that_was_away_counts_when_it_is_back() -> None:
    counting = Counting(nodes=2)
    await counting.later()
    counting.haproxy.nodes[1].refuses = TransientError("gone")
    counting.haproxy.serve("blue", 50, number=1, errors_5xx=5)
    await counting.later()
    assert counting.errors == 0.0
    counting.haproxy.nodes[1].refuses = None
    await counting.later()
    assert counting.errors == 5.0


async def test_hidden_failures_have_their_kinds_and_are_no_errors(counting: Counting) -> None:
    counting.haproxy.serve("blue", 0, retries=3, redispatches=2)
    counting.haproxy.serve("blue", 10, attempts=11)
    await counting.later()
    assert [counting.hidden(kind) for kind in ("retry", "redispatch", "vanished")] == [3.0, 2.0, 1.0]
    assert counting.errors == 0.0


async def test_what_vanished_is_not_counted_twice_when_it_seems_to_come_back(counting: Counting) -> None:
    for more in (2, -1, 1):
        counting.haproxy.serve("blue", 0, attempts=more)
        await counting.later()
    assert counting.hidden("vanished") == 2.0


async def test_without_an_answer_of_any_node_the_ratio_is_not_known(counting: Counting) -> None:
    counting.haproxy.serve("blue", 10)
    await counting.later()
    assert counting.ratio == 0.0
    counting.haproxy.nodes[0].refuses = TransientError("gone")
    with pytest.raises(TransientError):
        await counting.later()
    assert counting.ratio is not None
    assert math.isnan(counting.ratio)


async def test_a_server_that_is_gone_takes_its_series_along(counting: Counting) -> None:
    both = counting.series()
    backend = counting.haproxy.nodes[0].backends[0]
    backend.servers = [each for each in backend.servers if each.name != "green"]
    await counting.later()
    assert counting.codes("green") == [None] * 5
    assert counting.codes() == [0.0] * 5
    assert counting.series() == both / 2


def test_a_split_that_is_gone_takes_its_series_along(counting: Counting) -> None:
    counting.desk.reconcilers[counting.key.kind].gone(counting.key)
    assert counting.series() == 0


async def test_a_split_of_another_backend_leaves_the_former_one(counting: Counting) -> None:
    split = counting.desk.state.objects[counting.key]
    elsewhere = split.spec.model_copy(update={"backend": "other_backend"})
    counting.desk.put(replace(split, spec=elsewhere))
    await counting.later()
    assert counting.series() == 0
