"""Bringing a lab up: number, folder, files, then one part after the other."""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.control import ControlError, call_now
from lab.data import finish_servers, start_server, start_servers, wait_for_server
from lab.data_hosts import DATA_HOSTS
from lab.data_hosts import command as data_hosts_command
from lab.data_secrets import write_secrets
from lab.data_systems import check_installed, data_settings, servers_of
from lab.layout import Lab, LabError, former_lab, haproxy_name
from lab.monitoring import PROGRAMS, start_monitor, start_monitoring, wait_for_monitor
from lab.numbers import lock_folder, take_number
from lab.overlay import lay_over, read_overlay
from lab.platform import EXAMPLE, choose, read_example, texts
from lab.slots import read_services
from lab.wiring import NODES, daemon_settings, haproxy_of, node_address, simulator_setup

READY_S: Final = 20.0
#: Every part in the order of its start.
PARTS: Final = ("proxmox", "app", "haproxy", "daemon")


@dataclass(frozen=True, slots=True)
class Options:
    """How a lab shall be. ``services``: how many of the example's, None for all that there is."""

    root: Path
    services: int | None = None
    keep: bool = False
    """Go on with the files and the state of the lab that was in the folder."""
    time_scale: float = 1.0
    """Multiplies every duration of the Proxmox simulator."""
    keeps_state: bool = False
    """HAProxy loads a server-state file, and the daemon writes it."""
    haproxies: int | None = None
    """HAProxy nodes, two of which are one pair; None for one, or for what a kept lab had."""
    metrics: bool = False
    """Prometheus and Alertmanager watch the daemon."""
    data: bool = False
    """PostgreSQL, pgBouncer, Redis, RabbitMQ and the stand-in for Elasticsearch run."""


def prepare(options: Options, say: Callable[[str], None]) -> tuple[Lab, int]:
    """Take a number and lay out the folder; return the lab and the descriptor of its lock."""
    root = options.root.absolute()
    former = former_lab(root)
    keep = former is not None and options.keep
    wanted = former.record.number if former is not None and keep else None
    number = take_number(lock_folder(), owner=root, wanted=wanted)
    if former is not None:
        former.parts.end_all()
        former.remove_sockets() if keep else former.remove_contents()
    was = former.record.haproxies if former is not None and keep else 1
    haproxies = options.haproxies or was
    lab = Lab.create(root, number.value, haproxies=haproxies, metrics=options.metrics, data=options.data)
    if lab.record.data:
        write_secrets(lab)
    if not keep:
        write_files(lab, options.services)
    say(f"lab {number.value}: addresses 127.{number.value}.x.y, files in {root}")
    return lab, number.lock


def write_files(lab: Lab, services: int | None) -> None:
    """Translate the example to the lab's addresses: all of it beside, what is wanted into desired.d."""
    documents, overlay = read_example(EXAMPLE), read_overlay()
    for path, text in texts(EXAMPLE, documents).items():
        target = lab.example / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(lay_over(lab.translate(text), overlay))
    for path in texts(EXAMPLE, choose(documents, services, data=lab.record.data)):
        drop(lab, path)


def drop(lab: Lab, path: Path) -> None:
    """Copy a file of the example into the watched directory, renamed into place."""
    target = lab.desired / path
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.draft")
    shutil.copyfile(lab.example / path, draft)
    draft.replace(target)


def start_platform(lab: Lab, options: Options, lock: int, say: Callable[[str], None]) -> None:
    """Start everything that the daemon talks to; the data services boot while the rest is started."""
    servers = servers_of(lab)
    start_servers(lab.parts, servers, keep_open=(lock,))
    _start_proxmox(lab, options.time_scale, keep_open=(lock,))
    call_now(lab.socket("pve"), "POST", "/setup", simulator_setup(lab, read_example(EXAMPLE)))
    state = call_now(lab.socket("pve"), "GET", "/state")
    say(f"Proxmox VE simulator: nodes {', '.join(NODES)}")
    _start_app(lab, keep_open=(lock,))
    for node in lab.haproxies:
        start_haproxy(lab, node=node, keeps_state=options.keeps_state, keep_open=(lock,))
    say("HAProxy and the applications" if len(lab.haproxies) == 1 else "two HAProxy and the applications")
    fingerprint = str(state["fingerprint"]) if isinstance(state, Mapping) else ""
    settings = daemon_settings(
        lab, fingerprint=fingerprint, keeps_state=options.keeps_state, data=data_settings(lab)
    )
    lab.config.write_text(settings)
    if lab.record.metrics:
        start_monitoring(lab, keep_open=(lock,))
        say("Prometheus and Alertmanager")
    if servers:
        finish_servers(lab.parts, servers, keep_open=(lock,))
        lab.parts.start(DATA_HOSTS, data_hosts_command(lab), keep_open=(lock,))
        say(f"data services: {', '.join(server.name for server in servers)}")


def _start_app(lab: Lab, *, keep_open: tuple[int, ...] = ()) -> None:
    lab.parts.start("app", [
        *[sys.executable, "-m", "lab.app", "--desired", str(lab.desired)],
        *["--simulator", str(lab.socket("pve")), "--socket", str(lab.socket("app"))],
        *["--example", str(lab.example), "--faults", str(lab.faults)],
    ], keep_open=keep_open)  # fmt: skip
    lab.parts.wait_until("app", lambda: answers(lab.socket("app"), "/lab/counts"), READY_S)


def _start_proxmox(lab: Lab, time_scale: float, *, keep_open: tuple[int, ...] = ()) -> None:
    listen = [word for number in range(1, len(NODES) + 1) for word in ("--listen", node_address(lab, number))]
    lab.parts.start("proxmox", [
        *[sys.executable, "-m", "lab.pve.server", "--state", str(lab.root / "pve" / "pve.json")],
        *["--control", str(lab.socket("pve")), "--time-scale", str(time_scale), *listen],
    ], keep_open=keep_open)  # fmt: skip
    lab.parts.wait_until("proxmox", lambda: answers(lab.socket("pve"), "/state"), READY_S)


def start_haproxy(
    lab: Lab, *, node: int = 1, keeps_state: bool | None = None, keep_open: tuple[int, ...] = ()
) -> None:
    """Start a HAProxy node; with *keeps_state* None as its configuration was before."""
    name = haproxy_name(node)
    if keeps_state is None:
        keeps_state = (lab.root / name / "state").exists()
    haproxy = haproxy_of(lab, read_services(lab.example), node=node, keeps_state=keeps_state)
    haproxy.prepare()
    lab.parts.start(name, haproxy.argv, keep_open=keep_open)
    lab.parts.wait_until(name, lambda: haproxy.worker_pid() is not None, READY_S)


def daemon_command(lab: Lab) -> list[str]:
    """Return the command that starts the daemon of this lab."""
    program = Path(sys.executable).with_name("psa-reconciler")
    start = [str(program)] if program.exists() else [sys.executable, "-m", "daemon.main"]
    return [*start, "--config", str(lab.config)]


def start_daemon(lab: Lab, *, keep_open: tuple[int, ...] = (), seconds: float = READY_S) -> None:
    """Start the daemon and wait until it answers."""
    lab.parts.start("daemon", daemon_command(lab), keep_open=keep_open)
    lab.parts.wait_until("daemon", lambda: answers(lab.socket("api"), "/readyz"), seconds)


def start_again(lab: Lab, part: str) -> None:
    """Start a part that has ended, as it was; LabError if it runs."""
    if part in lab.parts.running():
        raise LabError(f"{part} runs")
    match part:
        case "proxmox":
            saved = json.loads((lab.root / "pve" / "pve.json").read_text())
            _start_proxmox(lab, float(saved["world"]["time_scale"]))
        case "app":
            _start_app(lab)
        case "daemon":
            start_daemon(lab)
        case _ if part == DATA_HOSTS:
            lab.parts.start(DATA_HOSTS, data_hosts_command(lab))
        case _ if part in PROGRAMS:
            start_monitor(lab, part)
            wait_for_monitor(lab, part)
        case _ if (server := next((each for each in servers_of(lab) if each.name == part), None)) is not None:
            start_server(lab.parts, server)
            wait_for_server(lab.parts, server)
        case _:
            start_haproxy(lab, node=[*map(haproxy_name, lab.haproxies)].index(part) + 1)


def answers(socket: Path, path: str) -> bool:
    """Whether somebody answers 200 there."""
    try:
        call_now(socket, "GET", path)
    except ControlError:
        return False
    return True


def bring_up(options: Options, *, daemon: bool, say: Callable[[str], None]) -> Lab:
    """Start a whole lab; if a part does not start, end all others and raise."""
    if options.data:
        check_installed()
    lab, lock = prepare(options, say)
    with contextlib.ExitStack() as always, contextlib.ExitStack() as undo:
        always.callback(os.close, lock)  # the parts have it too
        undo.callback(lab.parts.end_all)
        start_platform(lab, options, lock, say)
        if daemon:
            start_daemon(lab, keep_open=(lock,))
            say("the daemon is ready")
        undo.pop_all()
    return lab


def take_down(root: Path) -> tuple[Lab, int]:
    """End all that a lab started; return it, and how many processes were ended."""
    lab = Lab.open(root)
    ended = lab.parts.end_all()
    lab.remove_sockets()
    return lab, len(ended)
