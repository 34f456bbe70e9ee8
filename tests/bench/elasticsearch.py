"""Looks at the example on the stand-in for Elasticsearch: what they cost. No real cluster is measured."""

import asyncio
import statistics
import time
from collections.abc import Iterator
from typing import Final

from lab.elasticsearch import LabElasticsearch
from reconcilers.elasticsearch.client import Request
from reconcilers.transports.elasticsearch import ElasticsearchTransport
from tests.bench import machine
from tests.bench.table import Figure
from tests.builders_elasticsearch import KEY, drive
from tests.real_elasticsearch import PASSWORD, USER, a_stand_in, as_user, transport

_LOOKS: Final = 300


def measure() -> Iterator[Figure]:
    """Measure looks, and the way from an empty cluster to as asked."""
    with a_stand_in(accounts={USER: PASSWORD}) as server:
        yield from asyncio.run(_looks(server))


async def _looks(server: LabElasticsearch) -> list[Figure]:
    wire = transport(server, **as_user())
    floor = await _greetings(wire)
    driven = drive(wire)
    began = time.perf_counter()
    await driven.quiet()
    whole = (time.perf_counter() - began) * 1e3
    asked, times = len(driven.sent), []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        await driven.desk.look(KEY)
        times.append((time.perf_counter() - began) * 1e3)
    requests = (len(driven.sent) - asked) / _LOOKS
    await wire.close()
    p50 = statistics.median(times)
    return [
        Figure("Elasticsearch: one look, p50/p99", "ms", p50, 30, floor, "GET /", machine.p99(times), 30),
        Figure(
            "Elasticsearch: requests a look",
            "",
            requests,
            15,
            0,
            "two calls and one a thing that is asked for",
        ),
        Figure("Elasticsearch: empty to as asked", "ms", whole, 2000, floor, "GET /"),
    ]


async def _greetings(wire: ElasticsearchTransport) -> float:
    """Return the milliseconds of the least that can be asked."""
    times = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        await wire.ask(Request("GET", ()))
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)
