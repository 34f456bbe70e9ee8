"""``python -m lab fault app`` and ``fault database``: what is wrong inside the containers."""

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from lab.app_faults import AppFault, DatabaseFault
from lab.control import call_now
from lab.given import with_lab
from lab.layout import Lab

Command = TypeVar("Command", bound=Callable[..., None])


class _Share(click.ParamType[float]):
    """A share, such as 0.05 or 5%."""

    name = "share"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        text = str(value)
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            self.fail(f"{text!r} is no share, such as 0.05 or 5%", param, ctx)
        if not 0 <= share <= 1:
            self.fail(f"{text} is not between 0 and 1", param, ctx)
        return share


_SHARE: Final = _Share()
_SECONDS: Final = click.FloatRange(0)


def _share(name: str, text: str) -> Callable[[Command], Command]:
    """Return an option that takes a share of the requests, all of them where it has no value."""
    shown = f"{text} All without a value."
    return click.option(
        name, type=_SHARE, is_flag=False, flag_value=1.0, default=None, metavar="[SHARE]", help=shown
    )


def _value(name: str, kind: click.ParamType[Any], text: str) -> Callable[[Command], Command]:
    return click.option(name, type=kind, default=None, help=text)


def _with_options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


#: One a field of AppFault.
_OPTIONS: Final[tuple[Callable[[Command], Command], ...]] = (
    click.option("--unhealthy", is_flag=True, default=None, help="The health endpoint answers 503."),
    click.option("--refuse", is_flag=True, default=None, help="Connections are refused."),
    _value("--error-rate", _SHARE, "Share of requests that get an error."),
    _value("--error-status", click.IntRange(400, 599), "Status of the errors, 500 by default."),
    _value("--error-burst", click.FloatRange(1), "Errors come in runs of this mean length."),
    _value("--latency", _SECONDS, "Seconds before an answer."),
    _value("--slow-body", _SECONDS, "Seconds between an answer's head and its end."),
    _value("--slow-share", _SHARE, "Share of requests that are slow, 1 by default."),
    _share("--hang", "Share of requests that are taken and never answered."),
    _share("--reset", "Share of requests whose connection is reset in the answer's middle."),
    _share("--garbage", "Share of requests that are answered with what is not HTTP."),
    _value("--leak-requests", click.IntRange(0), "A leak that is full after N requests."),
    _value("--leak-seconds", _SECONDS, "A leak that is full N seconds after the container's start."),
    _value("--leak-errors", _SHARE, "Error rate of the full leak, 1 by default."),
    _value("--leak-latency", _SECONDS, "Latency of the full leak in seconds, 0 by default."),
    _share("--leak-connections", "Share of requests that keep a connection to the database."),
    _value("--path", click.STRING, "Only requests whose path begins so."),
    _value("--health-version", click.STRING, "The health endpoint says this version."),
)


@click.command(short_help="Let an application fail, be slow, hang, refuse or leak.")
@click.argument("service", metavar="SERVICE|all")
@click.option("--color", type=click.Choice(["blue", "green"]), help="Only this colour.")
@click.option("--version", help="Only this version: from its first request on, also where it comes later.")
@_with_options
@with_lab
def app(
    lab: Lab, /, service: str, color: str | None, version: str | None, **what: float | str | None
) -> None:
    """Make the application of SERVICE misbehave; without a fault, all that was ordered for it ends.

    What is ordered for a service, a colour or a version stays until it is cleared: containers come and go.
    Several orders act together; one of the same service, colour and version takes the former one's place.
    """
    fault = AppFault.model_validate({name: value for name, value in what.items() if value is not None})
    scope = {"service": service, "color": color, "version": version}
    order = {**scope, "fault": fault.model_dump(exclude_defaults=True)}
    click.echo(json.dumps(call_now(lab.socket("app"), "POST", "/lab/fault", order)))


@click.command(short_help="Let the database of all services be down or slow, or up.")
@click.argument("state", type=click.Choice(["down", "slow", "up"]))
@click.option("--service", "services", multiple=True, help="Only this service notices; may be repeated.")
@click.option("--seconds", type=_SECONDS, default=1.0, help="How slow.")
@click.option("--connections", type=click.IntRange(0), help="How many it has; 100 by default.")
@with_lab
def database(
    lab: Lab, state: str, services: tuple[str, ...], seconds: float, connections: int | None
) -> None:
    """Let the database that all services and both colours share be down or slow, or up and well again.

    Down, each request fails while health checks go on. With few connections, a version that leaks them
    (fault app … --leak-connections) takes them away from both colours.
    """
    fault = DatabaseFault(
        down=state == "down", latency=seconds if state == "slow" else 0.0, services=services
    )
    if connections is not None:
        fault = fault.model_copy(update={"connections": connections})
    answer = call_now(lab.socket("app"), "POST", "/lab/database", fault.model_dump())
    click.echo(json.dumps(answer))
