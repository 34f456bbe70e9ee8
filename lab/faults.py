"""``python -m lab fault``: what can be done to the parts of a lab."""

import dataclasses
import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final, get_args

import click

from lab import elasticsearch_faults, postgres_faults, rabbitmq_faults, redis_faults
from lab.app_fault_commands import app, database
from lab.control import call_now
from lab.data_fault_command import WELL
from lab.data_systems import servers_of
from lab.given import with_lab
from lab.haproxy import LabHaproxy
from lab.hook_fault_command import clear_hooks, hook
from lab.layout import Lab, haproxy_name
from lab.monitoring import monitoring_urls
from lab.processes import send
from lab.pve.faults import Fault
from lab.pve_fault_commands import node, storage
from lab.slots import read_services
from lab.start import PARTS, start_again, start_haproxy
from lab.wiring import haproxy_of

_DATA_FAULTS: Final = (
    postgres_faults.ACTIONS,
    rabbitmq_faults.ACTIONS,
    redis_faults.ACTIONS,
    elasticsearch_faults.ACTIONS,
)
_BY_HAND: Final = ("stop-by-hand", "start-by-hand", "unlock")


def simulator_faults() -> Mapping[str, str]:
    """Return the kinds of the simulator's faults, each with its fields and what it does."""
    found = {}
    for each in get_args(Fault):
        fields = {field.name: field for field in dataclasses.fields(each)}
        kind = fields.pop("kind").default
        shown = [
            name if field.default is dataclasses.MISSING else f"{name}={field.default!r}"
            for name, field in fields.items()
        ]
        found[str(kind)] = f"{' '.join(shown)}\n        {(each.__doc__ or '').strip()}"
    return found


def _fault_help() -> str:
    lines = [f"    {kind} {text}" for kind, text in simulator_faults().items()]
    return "\b\n" + "\n".join(lines)


@click.group(name="fault", short_help="Do something to a part of the lab, as an outage would.")
@click.option(
    "--dir",
    "root",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="PSA_LAB_DIR",
    help="The lab's folder (PSA_LAB_DIR).",
)
@click.pass_context
def fault(context: click.Context, root: Path | None) -> None:
    """Do something to a part of the lab, by hand or as an outage would."""
    if root is not None:
        context.obj = Lab.open(root)


@fault.command(short_help="Switch on a fault of the Proxmox simulator.", epilog=_fault_help())
@click.argument("kind", type=click.Choice([*simulator_faults()]), metavar="KIND")
@click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]…")
@with_lab
def proxmox(lab: Lab, kind: str, fields: tuple[str, ...]) -> None:
    """Switch on a fault of the Proxmox simulator; print its number.

    A value is JSON where it reads as JSON, else text: seconds=2 path=/lxc/101 applied=true.
    COUNT is how often it strikes, 0 until it is cleared.
    """
    answer = call_now(lab.socket("pve"), "POST", "/fault", {"kind": kind, **dict(map(_field, fields))})
    click.echo(json.dumps(answer))


@fault.command(short_help="Switch off one fault of Proxmox, or all that is wrong.")
@click.argument("number", type=int, required=False)
@with_lab
def clear(lab: Lab, number: int | None) -> None:
    """Switch off one fault of the Proxmox simulator by its number, or everything that is wrong in the lab."""
    if number is not None:
        call_now(lab.socket("pve"), "DELETE", f"/faults/{number}")
        return
    call_now(lab.socket("pve"), "DELETE", "/faults")
    call_now(lab.socket("app"), "DELETE", "/lab/faults")
    clear_hooks(lab)
    _clear_data(lab)


def _clear_data(lab: Lab) -> None:
    """Let all data services be well, those that were killed too."""
    servers = servers_of(lab)
    for server in servers:
        if server.name not in lab.parts.running():
            start_again(lab, server.name)
    for actions in _DATA_FAULTS if servers else ():
        actions[WELL].do(lab)


for command in (app, database, hook, node, storage):
    fault.add_command(command)
for command in (
    postgres_faults.postgres,
    rabbitmq_faults.rabbitmq,
    redis_faults.redis,
    elasticsearch_faults.elasticsearch,
):
    fault.add_command(command)


@fault.command(short_help="Stop a container on its node, start or unlock it.")
@click.argument("ctid", type=int)
@click.argument("action", type=click.Choice(_BY_HAND), default="stop-by-hand")
@with_lab
def container(lab: Lab, ctid: int, action: str) -> None:
    """Do to a container what an operator does on its node: stop it by hand (default), start or unlock it."""
    call_now(lab.socket("pve"), "POST", f"/container/{ctid}/{action}")


@fault.command(name="edit", short_help="Change a line of a container's configuration file.")
@click.argument("ctid", type=int)
@click.argument("key")
@click.argument("text")
@with_lab
def edit_container(lab: Lab, ctid: int, key: str, text: str) -> None:
    """Change a line of a container's configuration file on its node, such as `cores 1`."""
    call_now(lab.socket("pve"), "POST", f"/container/{ctid}/edit-by-hand", {"key": key, "text": text})


_node = click.option("--node", type=click.IntRange(1, 2), default=1, help="Which one of a pair.")


def _haproxy(lab: Lab, node: int) -> LabHaproxy:
    if node not in lab.haproxies:
        raise click.UsageError("the lab has one HAProxy: start it with `up --haproxy 2`")
    return haproxy_of(lab, read_services(lab.example), node=node)


@fault.command(short_help="Reload HAProxy, kill it with -9, stop or start it.")
@click.argument("action", type=click.Choice(["reload", "kill", "stop", "start", "restart"]))
@_node
@with_lab
def haproxy(lab: Lab, action: str, node: int) -> None:
    """Reload HAProxy (new worker, configured weights), kill it with -9, stop it, start it, or do both."""
    found = _haproxy(lab, node)
    if action == "reload":
        click.echo(f"new worker: pid {found.reload()}")
    if action == "stop":
        found.stop()
    if action in {"kill", "restart"}:
        found.kill()
    if action == "start" and found.worker_pid() is not None:
        raise click.ClickException("it runs")
    if action in {"start", "restart"}:
        start_haproxy(lab, node=node)


@fault.command()
@click.argument("server", metavar="BACKEND/SERVER")
@click.argument("weight", type=click.IntRange(0, 256))
@_node
@with_lab
def weight(lab: Lab, server: str, weight: int, node: int) -> None:
    """Set a server's weight by hand, as a colleague would."""
    answer = _haproxy(lab, node).ask(f"set weight {server} {weight}")
    if answer.strip():
        raise click.ClickException(answer.strip())


@fault.command(short_help="Send a signal to a part.")
@click.argument("part")
@click.option("--signal", "name", default="KILL", help="Signal, such as KILL, STOP, CONT or TERM.")
@with_lab
def kill(lab: Lab, part: str, name: str) -> None:
    """Send a signal to a part, by the name that `status` has, such as daemon, haproxy (its master), redis."""
    process = lab.parts.running().get(part)
    if process is None or not send(process, signal.Signals[f"SIG{name.upper().removeprefix('SIG')}"]):
        raise click.ClickException(f"{part} does not run")


@fault.command(short_help="Start a part that was killed.")
@click.argument("part")
@with_lab
def start(lab: Lab, part: str) -> None:
    """Start a part that was killed, by the name that `status` has: proxmox, app, haproxy, daemon, redis."""
    known = [*PARTS, *map(haproxy_name, lab.haproxies), *monitoring_urls(lab)]
    known += [server.name for server in servers_of(lab)]
    if part not in known:
        raise click.UsageError(f"no part {part}; there is {', '.join(dict.fromkeys(known))}")
    start_again(lab, part)


def _field(text: str) -> tuple[str, object]:
    name, found, value = text.partition("=")
    if not found:
        raise click.BadParameter(f"{text!r} is not of the form FIELD=VALUE")
    try:
        decoded: object = json.loads(value)
    except ValueError:
        decoded = value
    return name, decoded
