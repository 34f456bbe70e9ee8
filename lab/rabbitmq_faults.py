"""``python -m lab fault rabbitmq``: what happens to a broker."""

import os
import subprocess
from collections.abc import Mapping
from typing import Final

import click

from lab.data import start_server, wait_for_server
from lab.data_fault_command import WELL, Action, fault_command
from lab.data_systems import rabbit_environment, rabbit_of, server_of
from lab.layout import Lab
from lab.users import as_user

_CONTROL: Final = "/usr/lib/rabbitmq/bin/rabbitmqctl"
_USER: Final = "rabbitmq"
#: An Erlang machine of its own is started for each command.
_TIMEOUT_S: Final = 30.0
#: It writes what it holds to its disk first.
_GRACE_S: Final = 20.0


def control(lab: Lab, *command: str) -> str:
    """Return what rabbitmqctl prints; ClickException if it fails."""
    done = subprocess.run(
        [*as_user(_USER), _CONTROL, "--quiet", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
        cwd=rabbit_of(lab).folder,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **rabbit_environment(lab)},
    )
    if done.returncode != 0:
        raise click.ClickException(f"rabbitmqctl: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _start(lab: Lab) -> None:
    server = server_of(lab, "rabbitmq")
    start_server(lab.parts, server)
    wait_for_server(lab.parts, server)


def _restart(lab: Lab) -> None:
    lab.parts.end("rabbitmq", grace_s=_GRACE_S)
    _start(lab)


def _wipe(lab: Lab) -> None:
    lab.parts.end("rabbitmq", grace_s=0)
    rabbit_of(lab).wipe()
    _start(lab)


def _memory_alarm(lab: Lab) -> None:
    control(lab, "set_vm_memory_high_watermark", "absolute", "1MB")


def _disk_alarm(lab: Lab) -> None:
    control(lab, "set_disk_free_limit", "1000000GB")


def _well(lab: Lab) -> None:
    control(lab, "set_vm_memory_high_watermark", "absolute", "1GB")
    control(lab, "set_disk_free_limit", "50MB")


ACTIONS: Final[Mapping[str, Action]] = {
    "restart": Action("it ends in order and starts again", _restart),
    "wipe": Action("it is killed and starts as a new broker: no vhost, queue or user of before", _wipe),
    "memory-alarm": Action("no memory is left to it: publishers are blocked", _memory_alarm),
    "disk-alarm": Action("no disk is left to it: publishers are blocked", _disk_alarm),
    WELL: Action("both alarms are over", _well),
}
rabbitmq = fault_command("rabbitmq", "Do something to RabbitMQ, or let it be well again.", ACTIONS)
