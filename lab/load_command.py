"""``python -m lab load``: users of the lab, and a table of what they saw."""

import asyncio
import json
import signal
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click

from lab.given import FOLDER, OUTPUT
from lab.heavy import run_heavy
from lab.layout import Lab
from lab.load import MAX_RATE, Load, Target
from lab.tally import Tally
from lab.wiring import frontend_address


@click.command(short_help="Send requests at a steady rate and count what users saw.")
@FOLDER
@click.option(
    "--rate", type=click.FloatRange(0, MAX_RATE, min_open=True), default=50.0, help="Requests a second."
)
@click.option("--heavy", is_flag=True, help="As many as wrk can send, instead of a rate.")
@click.option("--connections", type=click.IntRange(1, 1000), default=32, help="With --heavy: how many.")
@click.option("--seconds", type=float, help="How long; until Ctrl-C if it is left out.")
@click.option("--path", default="/", help="What is asked for; /api/SERVICE goes through the gateway to it.")
@click.option("--node", type=click.IntRange(1, 2), help="Only to this HAProxy of a pair; in turn by default.")
@click.option("--series", is_flag=True, help="With -o json: what was seen in each second, too.")
@OUTPUT
def load(
    root: Path,
    *,
    rate: float,
    heavy: bool,
    connections: int,
    seconds: float | None,
    path: str,
    node: int | None,
    series: bool,
    output: str,
) -> None:
    """Send requests at a steady rate and count what users saw, by who served them.

    --heavy sends to one HAProxy as much as it takes, with wrk: `tools/setup wrk=wrk` installs it.
    """
    targets = tuple(_targets(Lab.open(root), node, path))
    if heavy:
        tally, started = asyncio.run(_heavy(targets[0], seconds, connections))
    else:
        tally, started = asyncio.run(_steady(Load(*targets, rate=rate), seconds))
    if output == "json":
        click.echo(json.dumps(tally.as_data(started, series=series), indent=2))
    else:
        click.echo(tally.table(started))


def _targets(lab: Lab, node: int | None, path: str) -> Iterator[Target]:
    if node not in {None, *lab.haproxies}:
        raise click.UsageError("the lab has one HAProxy: start it with `up --haproxy 2`")
    for number in lab.haproxies if node is None else (node,):
        host, _, port = frontend_address(lab, number).rpartition(":")
        yield Target(host, int(port), path)


async def _steady(client: Load, seconds: float | None) -> tuple[Tally, datetime]:
    await client.run(seconds, _stopping())
    return client.tally, client.started


async def _heavy(target: Target, seconds: float | None, connections: int) -> tuple[Tally, datetime]:
    return await run_heavy(target, seconds, _stopping(), connections=connections)


def _stopping() -> asyncio.Event:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping
