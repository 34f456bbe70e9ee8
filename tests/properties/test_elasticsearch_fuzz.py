"""Whatever stands in an answer, a look ends in a plan or in an error of the contract."""

import asyncio
import copy
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconcilers.contract import PermanentError, TransientError
from reconcilers.elasticsearch.client import Reply, Request
from tests.builders_elasticsearch import KEY, an_elasticsearch, by_hand, drive, example_spec
from tests.fakes.elasticsearch import CoreWire

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=6), below, max_size=3),
    max_leaves=5,
)


@dataclass
class Spoiled:
    """A wire whose *turn*-th answer has *value* where a walk through it by *way* ends."""

    inner: CoreWire
    turn: int
    way: tuple[int, ...]
    value: Any

    async def ask(self, request: Request) -> Reply:
        reply = await self.inner.ask(request)
        self.turn -= 1
        return (
            reply
            if self.turn
            else Reply(reply.status, _spoil(copy.deepcopy(reply.body), self.way, self.value))
        )


def _spoil(body: Any, way: tuple[int, ...], value: Any) -> Any:
    if not way or not isinstance(body, dict | list) or not body:
        return value
    places = list(body) if isinstance(body, dict) else list(range(len(body)))
    place = places[way[0] % len(places)]
    body[place] = _spoil(body[place], way[1:], value)
    return body


async def _a_cluster() -> CoreWire:
    """Return one that is as the example asks but for its policy, with an index under it."""
    core = CoreWire()
    await drive(core).quiet()
    await by_hand(core, "POST", "psa-logs-1/_doc", {})
    late = {"delete": {"min_age": "90d", "actions": {"delete": {}}}}
    await by_hand(core, "PUT", "_ilm/policy/psa-logs", {"policy": {"phases": late}})
    return core


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 15), st.lists(st.integers(0, 20), max_size=8), JSON)
def test_a_strange_answer_is_never_a_bug_of_ours(turn: int, way: list[int], value: Any) -> None:
    async def play() -> None:
        core = await _a_cluster()
        driven = drive(Spoiled(core, turn, tuple(way), value), an_elasticsearch(**example_spec()))
        try:
            plan = await driven.desk.look(KEY)
        except (PermanentError, TransientError):
            return
        assert plan.status is not None or plan.waiting is not None

    asyncio.run(play())
