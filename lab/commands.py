"""The command line of the lab: up, down, status, fault, load, demo."""

import json
import shlex
import signal
import sys
from pathlib import Path

import click

from lab.control import ControlError
from lab.demo import run_demo
from lab.faults import fault
from lab.given import FOLDER, FOLDER_TYPE, OUTPUT
from lab.haproxy import HaproxyError
from lab.heavy import HeavyLoadError
from lab.layout import Lab, LabError
from lab.load_command import load
from lab.monitoring import is_wanted, monitoring_urls
from lab.numbers import NoNumberError
from lab.parts import PartError
from lab.start import Options, bring_up, daemon_command, take_down
from lab.status import status_of, status_table
from lab.template_command import template


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Run a platform on this machine's loopback: HAProxy, Proxmox VE simulator, applications, daemon.

    Everything lies below one folder and listens below 127.N.0.0/16; nothing of the system is touched.
    """


def _services(_context: click.Context, _option: click.Parameter, value: str) -> int | None:
    if value == "all":
        return None
    if not value.isdecimal():
        raise click.BadParameter("a number or `all` is needed")
    return int(value)


@cli.command()
@FOLDER
@click.option("--daemon/--no-daemon", default=True, help="Start the daemon, or print how to start it.")
@click.option(
    "--services", default="all", callback=_services, metavar="N|all", help="How many of the example's."
)
@click.option("--keep", is_flag=True, help="Go on with files and state of the lab that was in the folder.")
@click.option("--state-file", is_flag=True, help="HAProxy loads a server-state file that the daemon writes.")
@click.option("--haproxy", type=click.IntRange(1, 2), help="HAProxy nodes: 2 are a pair.")
@click.option(
    "--metrics/--no-metrics",
    default=None,
    help="Start Prometheus and Alertmanager; by default where they are.",
)
@click.option(
    "--data/--no-data",
    default=False,
    help="Start PostgreSQL with a replica and pgBouncer, Redis, RabbitMQ and a stand-in for Elasticsearch.",
)
@click.option("--time-scale", type=float, default=1.0, help="Multiplies the Proxmox simulator's durations.")
def up(
    root: Path,
    *,
    daemon: bool,
    services: int | None,
    keep: bool,
    state_file: bool,
    haproxy: int | None,
    metrics: bool | None,
    data: bool,
    time_scale: float,
) -> None:
    """Start a lab."""
    options = Options(
        root,
        services,
        keep=keep,
        time_scale=time_scale,
        keeps_state=state_file,
        haproxies=haproxy,
        metrics=is_wanted(metrics, click.echo),
        data=data,
    )
    lab = bring_up(options, daemon=daemon, say=click.echo)
    if not daemon:
        click.echo(f"start the daemon: {shlex.join(daemon_command(lab))}")
    click.echo(f"watched directory: {lab.desired}")
    for name, url in monitoring_urls(lab).items():
        click.echo(f"{name}: {url}")
    click.echo(f"end it: psactl lab down --dir {shlex.quote(str(lab.root))}")


@cli.command()
@FOLDER
@click.option("--remove", is_flag=True, help="Delete the lab's files too.")
def down(root: Path, *, remove: bool) -> None:
    """End everything that a lab started, whatever became of its parts."""
    lab, ended = take_down(root)
    if remove:
        lab.remove_contents()
    click.echo(f"lab {lab.record.number}: {ended} processes ended")


@cli.command()
@FOLDER
@OUTPUT
def status(root: Path, output: str) -> None:
    """Print pids, addresses, sockets and files of a lab."""
    found = status_of(Lab.open(root))
    click.echo(json.dumps(found, indent=2) if output == "json" else status_table(found))
    if not found["running"]:
        sys.exit(1)


cli.add_command(fault)
cli.add_command(load)
cli.add_command(template)


@cli.command()
@click.option(
    "--dir", "root", type=FOLDER_TYPE, envvar="PSA_LAB_DIR", help="The lab's folder; a new one by default."
)
@click.option("--keep", is_flag=True, help="Leave everything running, with hints how to go on.")
@click.option("--data", is_flag=True, help="With real data services, and scenes on them: half a minute more.")
def demo(root: Path | None, *, keep: bool, data: bool) -> None:
    """Show what the daemon does, on real parts, in about a minute."""
    sys.exit(run_demo(root, keep=keep, data=data))


def main() -> None:
    """Run a command; what is wrong with the lab is one line, not a traceback."""
    # Whoever ends us by SIGTERM or by closing the terminal gets the same clean end as with Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        cli(prog_name="psactl lab")
    except (LabError, HeavyLoadError, PartError, NoNumberError, ControlError, HaproxyError, OSError) as exc:
        click.echo(f"Error: {exc}", err=True)
        sys.exit(2)
