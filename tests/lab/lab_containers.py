"""Containers in a lab without a daemon: made through Proxmox's API, as a colleague would."""

import json
import ssl
import time
import urllib.parse
import urllib.request
from collections.abc import Callable

from crds.service import Color
from lab.layout import Lab
from lab.sight import Sight
from lab.slots import read_services
from lab.status import status_of
from lab.wiring import node_urls


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def run_container(lab: Lab, service: str, color: Color, version: str) -> None:
    """Make and start one colour of a service, and wait until its application listens."""
    spec = read_services(lab.example)[service]
    slot = spec.colors[color]
    asked = {
        "vmid": slot.ctid,
        "ostemplate": spec.container.template.replace("{version}", version),
        "hostname": f"{service}-{color.value}",
        "unprivileged": 1,
        "rootfs": "local:4",
        "memory": 512,
        "start": 1,
    }
    request = urllib.request.Request(  # noqa: S310 - https, to the lab
        f"{node_urls(lab)[0]}/api2/json/nodes/{slot.node}/lxc",
        urllib.parse.urlencode(asked).encode(),
        {"Authorization": f"PVEAPIToken={lab.token.read_text().strip()}"},
    )
    trusting = ssl._create_unverified_context()  # noqa: S323 - the lab's own certificate, on loopback
    with urllib.request.urlopen(request, context=trusting, timeout=10) as answer:  # noqa: S310
        assert json.load(answer)["data"].startswith("UPID:")
    until(lambda: version_in(lab, service, color) == version)


def version_in(lab: Lab, service: str, color: Color) -> str | None:
    """What `status` says runs in a colour of a service."""
    rows = json.loads(json.dumps(status_of(lab)))["colors"]
    found = [row for row in rows if (row["service"], row["color"]) == (service, color.value)]
    return str(found[0]["version"]) if found and found[0]["version"] is not None else None


def counters(sight: Sight, backend: str, server: str, node: int = 1) -> dict[str, int]:
    """A server's numbers of HAProxy's `show stat`."""
    head, *rows = sight.haproxies[node - 1].ask("show stat").removeprefix("# ").splitlines()
    named = [dict(zip(head.split(","), row.split(","), strict=True)) for row in rows if row]
    (row,) = [row for row in named if (row["pxname"], row["svname"]) == (backend, server)]
    return {name: int(text) for name, text in row.items() if text.isdecimal()}
