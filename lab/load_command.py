"""``python -m lab load``: users of the lab, and a table of what they saw."""

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import click

from lab.given import FOLDER, OUTPUT
from lab.layout import Lab
from lab.load import MAX_RATE, Load, Target
from lab.wiring import frontend_address


@click.command()
@FOLDER
@click.option(
    "--rate", type=click.FloatRange(0, MAX_RATE, min_open=True), default=50.0, help="Requests a second."
)
@click.option("--seconds", type=float, help="How long; until Ctrl-C if it is left out.")
@click.option("--path", default="/", help="What is asked for; /api/SERVICE goes through the gateway to it.")
@click.option("--node", type=click.IntRange(1, 2), help="Only to this HAProxy of a pair; in turn by default.")
@click.option("--series", is_flag=True, help="With -o json: what was seen in each second, too.")
@OUTPUT
def load(
    root: Path,
    *,
    rate: float,
    seconds: float | None,
    path: str,
    node: int | None,
    series: bool,
    output: str,
) -> None:
    """Send requests at a steady rate and count what users saw, by who served them."""
    client = Load(*_targets(Lab.open(root), node, path), rate=rate)
    asyncio.run(_load(client, seconds))
    data = client.tally.as_data(client.started, series=series)
    click.echo(json.dumps(data, indent=2) if output == "json" else client.tally.table(client.started))


def _targets(lab: Lab, node: int | None, path: str) -> Iterator[Target]:
    if node not in {None, *lab.haproxies}:
        raise click.UsageError("the lab has one HAProxy: start it with `up --haproxy 2`")
    for number in lab.haproxies if node is None else (node,):
        host, _, port = frontend_address(lab, number).rpartition(":")
        yield Target(host, int(port), path)


async def _load(client: Load, seconds: float | None) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await client.run(seconds, stopping)
