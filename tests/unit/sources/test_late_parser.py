"""A parser that was late or killed says nothing of the file: it is asked again, and not for ever."""

from dataclasses import dataclass

import pytest

from daemon.sources.directory import FoundFile, Scan
from daemon.sources.reading import Reading
from daemon.sources.syntax import Fault
from daemon.sources.tree import Parsed, parse_here

FILE = b"""
apiVersion: psa.platform/v1
kind: LoadBalancer
metadata: {name: edge}
spec: {endpoint: edge}
"""
LATE = Fault(1, 1, 1, "the parser did not finish this file within 1 s")


@dataclass
class Parser:
    """Is late so many times."""

    late: int
    asked: int = 0

    async def parse(self, data: bytes) -> Parsed:
        self.asked += 1
        return Parsed(faults=(LATE,), is_cut=True) if self.asked <= self.late else parse_here(data)

    async def close(self) -> None:
        """Nothing was started."""


def scanned(reading: Reading, digest: str = "one") -> Scan:
    """Return what the directory gives to who knows that much."""
    is_known = reading.known().get("edge.yaml") == digest
    return Scan(files=(FoundFile("edge.yaml", digest, None if is_known else FILE),))


@pytest.mark.parametrize("late", [1, 2])
async def test_a_file_that_the_parser_had_no_time_for_is_read_with_the_next_looks(late: int) -> None:
    reading, digests = Reading(Parser(late)), set[str]()
    for _ in range(late):
        snapshot = await reading.read(scanned(reading))
        digests.add(snapshot.digest)
        assert [problem.message for problem in snapshot.problems] == [LATE.message]
    snapshot = await reading.read(scanned(reading))
    assert [str(declared.key) for declared in snapshot.objects] == ["LoadBalancer/edge"]
    assert snapshot.digest not in digests, "or nobody would be told"


async def test_a_file_that_takes_too_long_each_time_is_left_alone_until_it_changes() -> None:
    reading = Reading(parser := Parser(100))
    said = [(await reading.read(scanned(reading))).problems for _ in range(20)]
    assert parser.asked == 3
    assert [problem.message for (problem,) in said] == [LATE.message] * 20
    await reading.read(scanned(reading, "two"))
    assert parser.asked == 4


async def test_a_file_that_was_read_is_not_parsed_again() -> None:
    reading = Reading(parser := Parser(1))
    snapshots = [await reading.read(scanned(reading)) for _ in range(10)]
    assert parser.asked == 2
    assert len({each.digest for each in snapshots[1:]}) == 1
