"""``python -m lab fault``: what can be done to the parts of a lab."""

import dataclasses
import functools
import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, get_args

import click

from lab.control import call_now
from lab.layout import Lab
from lab.processes import send
from lab.pve.faults import Fault
from lab.site import AppFault
from lab.slots import read_services
from lab.start import start_haproxy
from lab.wiring import haproxy_of

P = ParamSpec("P")
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


def _with_lab(command: Callable[Concatenate[Lab, P], None]) -> Callable[P, None]:
    """Give the command the lab of ``fault --dir``; without one there is still its help."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        lab = click.get_current_context().obj
        if not isinstance(lab, Lab):
            raise click.UsageError("the lab's folder is needed: fault --dir DIR …, or PSA_LAB_DIR")
        command(lab, *args, **kwargs)

    return wrapped


@click.group(name="fault")
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


@fault.command(epilog=_fault_help())
@click.argument("kind", type=click.Choice([*simulator_faults()]), metavar="KIND")
@click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]…")
@_with_lab
def proxmox(lab: Lab, kind: str, fields: tuple[str, ...]) -> None:
    """Switch on a fault of the Proxmox simulator; print its number.

    A value is JSON where it reads as JSON, else text: seconds=2 path=/lxc/101 applied=true.
    COUNT is how often it strikes, 0 until it is cleared.
    """
    answer = call_now(lab.socket("pve"), "POST", "/fault", {"kind": kind, **dict(map(_field, fields))})
    click.echo(json.dumps(answer))


@fault.command()
@click.argument("number", type=int, required=False)
@_with_lab
def clear(lab: Lab, number: int | None) -> None:
    """Switch off one fault of the Proxmox simulator by its number, or all of them."""
    call_now(lab.socket("pve"), "DELETE", "/faults" if number is None else f"/faults/{number}")


@fault.command()
@click.argument("ctid", type=int)
@click.argument("action", type=click.Choice(_BY_HAND), default="stop-by-hand")
@_with_lab
def container(lab: Lab, ctid: int, action: str) -> None:
    """Do to a container what an operator does on its node: stop it by hand (default), start or unlock it."""
    call_now(lab.socket("pve"), "POST", f"/container/{ctid}/{action}")


@fault.command(name="edit")
@click.argument("ctid", type=int)
@click.argument("key")
@click.argument("text")
@_with_lab
def edit_container(lab: Lab, ctid: int, key: str, text: str) -> None:
    """Change a line of a container's configuration file on its node, such as `cores 1`."""
    call_now(lab.socket("pve"), "POST", f"/container/{ctid}/edit-by-hand", {"key": key, "text": text})


@fault.command()
@click.argument("action", type=click.Choice(["reload", "kill", "restart"]))
@_with_lab
def haproxy(lab: Lab, action: str) -> None:
    """Reload HAProxy (new worker, configured weights), kill it with -9, or end it and start it again."""
    found = haproxy_of(lab, read_services(lab.example))
    if action == "reload":
        click.echo(f"new worker: pid {found.reload()}")
        return
    found.kill()
    if action == "restart":
        start_haproxy(lab)


@fault.command()
@click.argument("server", metavar="BACKEND/SERVER")
@click.argument("weight", type=click.IntRange(0, 256))
@_with_lab
def weight(lab: Lab, server: str, weight: int) -> None:
    """Set a server's weight by hand, as a colleague would."""
    answer = haproxy_of(lab, read_services(lab.example)).ask(f"set weight {server} {weight}")
    if answer.strip():
        raise click.ClickException(answer.strip())


@fault.command()
@click.argument("service")
@click.option("--color", type=click.Choice(["blue", "green"]), help="Only this colour.")
@click.option("--unhealthy", is_flag=True, help="The health endpoint answers 503.")
@click.option("--latency", type=float, default=0.0, help="Seconds before each answer.")
@click.option("--error-rate", type=float, default=0.0, help="Share of requests that get a 500, 0 to 1.")
@click.option("--hang", is_flag=True, help="Requests are taken and never answered.")
@click.option("--refuse", is_flag=True, help="Connections are refused.")
@_with_lab
def app(lab: Lab, /, service: str, color: str | None, **what: float | bool) -> None:
    """Make the application of SERVICE misbehave; without an option it is well again."""
    fields = AppFault.model_validate(what).model_dump(exclude_defaults=True)
    order = {"service": service, "color": color, "fault": fields}
    click.echo(json.dumps(call_now(lab.socket("app"), "POST", "/lab/fault", order)))


@fault.command()
@click.argument("part")
@click.option("--signal", "name", default="KILL", help="Signal, such as KILL, STOP, CONT or TERM.")
@_with_lab
def kill(lab: Lab, part: str, name: str) -> None:
    """Send a signal to a part: proxmox, app, haproxy (its master) or daemon."""
    process = lab.parts.running().get(part)
    if process is None or not send(process, signal.Signals[f"SIG{name.upper().removeprefix('SIG')}"]):
        raise click.ClickException(f"{part} does not run")


def _field(text: str) -> tuple[str, object]:
    name, found, value = text.partition("=")
    if not found:
        raise click.BadParameter(f"{text!r} is not of the form FIELD=VALUE")
    try:
        decoded: object = json.loads(value)
    except ValueError:
        decoded = value
    return name, decoded
