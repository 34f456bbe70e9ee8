"""``python -m lab load``: users of the lab, and a table of what they saw."""

import asyncio
import json
import signal
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
@click.option("--series", is_flag=True, help="With -o json: what was seen in each second, too.")
@OUTPUT
def load(root: Path, rate: float, seconds: float | None, path: str, output: str, *, series: bool) -> None:
    """Send requests at a steady rate and count what users saw, by who served them."""
    host, _, port = frontend_address(Lab.open(root)).rpartition(":")
    client = Load(Target(host, int(port), path), rate=rate)
    asyncio.run(_load(client, seconds))
    data = client.tally.as_data(client.started, series=series)
    click.echo(json.dumps(data, indent=2) if output == "json" else client.tally.table(client.started))


async def _load(client: Load, seconds: float | None) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await client.run(seconds, stopping)
