"""Heavy load: as many requests as wrk can send, counted like those of the steady client."""

import asyncio
import json
import shutil
import signal
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab.load import Target
from lab.tally import NOBODY, Bad, Tally, Who

_SCRIPT: Final = Path(__file__).with_name("heavy.lua")
_FOR_EVER_S: Final = 7 * 86_400
_TIMEOUT_S: Final = 5
_BAD: Final = 500


class HeavyLoadError(Exception):
    """wrk is missing or did not do its work; the text says what to do."""


class _Report(BaseModel):
    """What heavy.lua prints. Answers are named ``status service colour version``, times are seconds UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests: int
    seconds: float
    answers: tuple[tuple[str, int], ...]
    connect: int
    read: int
    write: int
    timeout: int
    first_bad: tuple[float, str] = Field(alias="firstBad")
    last_bad: tuple[float, str] = Field(alias="lastBad")
    p50: float
    p95: float
    p99: float


async def run_heavy(
    target: Target, seconds: float | None, stopping: asyncio.Event, *, connections: int = 32
) -> tuple[Tally, datetime]:
    """Send what *connections* take, for *seconds* or until *stopping*; return what was seen, and since when.

    HeavyLoadError where wrk is missing, or says nothing.
    """
    program = shutil.which("wrk")
    if program is None:
        raise HeavyLoadError("wrk is not installed: `tools/setup wrk=wrk` does it, or apt-get install wrk")
    length = max(1, round(seconds or _FOR_EVER_S))
    argv = ["-t1", f"-c{connections}", f"-d{length}s", f"--timeout={_TIMEOUT_S}s"]
    url = f"http://{target.host}:{target.port}{target.path}"
    started = datetime.now(UTC)
    wrk = await asyncio.create_subprocess_exec(
        program,
        *argv,
        "-s",
        str(_SCRIPT),
        url,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.TaskGroup() as tasks:
        ending = tasks.create_task(_interrupt(wrk, stopping))
        output, _ = await wrk.communicate()
        ending.cancel()
    return tally_of(output.decode(errors="replace"), started), started


async def _interrupt(wrk: asyncio.subprocess.Process, stopping: asyncio.Event) -> None:
    await stopping.wait()
    if wrk.returncode is None:
        wrk.send_signal(signal.SIGINT)  # upon which it counts and reports


def tally_of(output: str, started: datetime) -> Tally:
    """Return what wrk's *output* says. HeavyLoadError if it has no report of ours."""
    line = next((line for line in reversed(output.splitlines()) if line.startswith("{")), "")
    try:
        report = _Report.model_validate(json.loads(line or "null"))
    except (ValueError, ValidationError):
        raise HeavyLoadError(f"wrk counted nothing: {output.strip()[-300:]}") from None
    tally = Tally(percentiles={"p50": report.p50, "p95": report.p95, "p99": report.p99})
    for name, count in report.answers:
        _count(tally, name, count)
    lost = {"refused": report.connect, "cut off": report.read + report.write, "timed out": report.timeout}
    tally.failures = Counter({reason: count for reason, count in lost.items() if count})
    tally.failed_by.update({(NOBODY, reason): count for reason, count in tally.failures.items()})
    tally.sent = tally.answered + tally.failures.total()
    tally.first_bad = _bad(report.first_bad, started)
    tally.last_bad = _bad(report.last_bad, started)
    return tally


def _count(tally: Tally, name: str, count: int) -> None:
    status, who = _split(name)
    tally.statuses[int(status)] += count
    if int(status) < _BAD:
        tally.served_by[who] += count
    else:
        tally.failed_by[who, status] += count


def _split(name: str) -> tuple[str, Who]:
    status, *words = name.split()
    return status, (words[0], words[1], words[2]) if len(words) == len(NOBODY) else NOBODY


def _bad(moment: tuple[float, str], started: datetime) -> Bad | None:
    """Return a bad answer; wrk does not tell when requests failed that got none."""
    at, name = moment
    if not at:
        return None
    status, who = _split(name)
    return Bad(max(0.0, at - started.timestamp()), status, who)
