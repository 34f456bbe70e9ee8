"""``python -m lab.data_hosts DIR``: PostgreSQL's servers end and begin with the containers that they are in.

Only with what is seen to change: a server of which the container is not there yet is left alone.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from lab.control import ControlError, call_now
from lab.data_systems import MEMBERS, postgres_of
from lab.layout import Lab
from lab.pve.properties import parse

#: The part's name.
DATA_HOSTS: Final = "data-hosts"
_HOLD_S: Final = 30.0
_RETRY_S: Final = 0.2


class _Container(BaseModel):
    """A container of the simulator's ``/state``; ``started_at`` is None while it is off."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    config: Mapping[str, str]
    started_at: float | None

    @property
    def host(self) -> str:
        """The address of its first interface, "" if it has none."""
        return parse(self.config["net0"]).get("ip", "").partition("/")[0] if "net0" in self.config else ""


class _State(BaseModel):
    """What is read of ``/state``; ``running_version`` grows with every start and stop."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    running_version: int
    containers: tuple[_Container, ...]


class Hosts:
    """Since when the containers of some addresses run, as far as was seen."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = frozenset(hosts)
        self._seen: dict[str, float | None] = {}
        self._stopped: set[str] = set()

    def follow(self, found: Mapping[str, float | None]) -> list[tuple[str, str]]:
        """Take down since when each runs, None for one that is off; return what is to be done, and where."""
        known = {host: began for host, began in found.items() if host in self._hosts}
        orders = [
            (action, host)
            for host, began in known.items()
            if host in self._seen and (action := self._action(host, self._seen[host], began)) is not None
        ]
        self._seen |= known
        self._stopped = (self._stopped | {host for action, host in orders if action == "stop"}) - {
            host for action, host in orders if action == "start"
        }
        return orders

    def _action(self, host: str, before: float | None, now: float | None) -> str | None:
        if now is None:
            return "stop" if before is not None else None
        if before is None:
            return "start" if host in self._stopped else None
        return "restart" if now != before else None


def follow(lab: Lab) -> None:
    """Do to the servers what happens to their containers, for ever."""
    ports = dict(_address(lab, part) for part in MEMBERS.values())
    hosts, version = Hosts(ports), -1
    while True:
        try:
            call_now(
                lab.socket("pve"),
                "GET",
                f"/running?since={version}&timeout={_HOLD_S:g}",
                timeout_s=_HOLD_S + 20,
            )
            state = _State.model_validate(call_now(lab.socket("pve"), "GET", "/state"))
        except ControlError:
            # Containers live on without Proxmox's API.
            time.sleep(_RETRY_S)
            continue
        version = state.running_version
        found = {each.host: each.started_at for each in state.containers if each.host}
        for action, host in hosts.follow(found):
            _act(lab, action, host, ports[host])


def _address(lab: Lab, part: str) -> tuple[str, str]:
    host, _, port = postgres_of(lab, part).config.address.rpartition(":")
    return host, port


def _act(lab: Lab, action: str, host: str, port: str) -> None:
    """Let a process of its own do it: a server's parent would have to take note of its end."""
    where = {"PSA_ADDRESS": host, "PSA_PORT": port}
    argv = [sys.executable, "-m", "lab.postgres_hook", action, str(lab.root)]
    done = subprocess.run(argv, env={**os.environ, **where}, check=False)
    print(f"{action} of what is at {host}:{port}: exit status {done.returncode}", flush=True)


def command(lab: Lab) -> list[str]:
    """Return how the part is started."""
    return [sys.executable, "-m", "lab.data_hosts", str(lab.root)]


if __name__ == "__main__":
    follow(Lab.open(Path(sys.argv[1])))
