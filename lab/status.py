"""What runs in a lab, and where everything is."""

from collections.abc import Mapping, Sequence
from typing import Final

from lab.control import ControlError, call_now
from lab.layout import Lab, haproxy_name
from lab.start import PARTS
from lab.wiring import daemon_address, frontend_address, haproxy_page, node_urls

_WIDTH: Final = 12


def status_of(lab: Lab) -> dict[str, object]:
    """Return pids, sockets, addresses and files as JSON data."""
    running = lab.parts.running()
    remembered = lab.parts.remembered()
    haproxies = [*map(haproxy_name, lab.haproxies)]
    names = [*PARTS, *sorted(set(remembered) - set(PARTS))]
    return {
        "number": lab.record.number,
        "directory": str(lab.root),
        "running": bool(running),
        "parts": [
            {
                "name": name,
                "running": name in running,
                "pid": remembered[name].pid if name in remembered else None,
                "log": str(lab.log / f"{name}.log"),
            }
            for name in names
        ],
        "urls": {
            **{_numbered("users", node): f"http://{frontend_address(lab, node)}/" for node in lab.haproxies},
            **{haproxy_name(node): f"http://{haproxy_page(lab, node)}/" for node in lab.haproxies},
            "metrics": f"http://{daemon_address(lab)}/metrics",
            "daemon": f"http://{daemon_address(lab)}/api/v1/objects",
            "proxmox": [*node_urls(lab)],
        },
        "sockets": {name: str(lab.socket(name)) for name in ("api", *haproxies, "pve", "app")},
        "files": {
            "desired": str(lab.desired),
            "example": str(lab.example),
            "config": str(lab.config),
            "token": str(lab.token),
            "state": str(lab.state),
            "logs": str(lab.log),
        },
        "sites": sites_of(lab),
    }


def sites_of(lab: Lab) -> Sequence[Mapping[str, object]]:
    """Return the applications that run, nothing if nobody can tell."""
    try:
        answer = call_now(lab.socket("app"), "GET", "/lab/counts")
    except ControlError:
        return ()
    sites = answer.get("sites") if isinstance(answer, Mapping) else None
    return sites if isinstance(sites, list) else ()


def status_table(status: Mapping[str, object]) -> str:
    """Return the same for people, at most 80 columns where the paths allow it."""
    lines = [f"lab {status['number']} in {status['directory']}", ""]
    for part in _list(status["parts"]):
        state = f"pid {part['pid']}" if part["running"] else "not running"
        lines.append(f"  {part['name']!s:{_WIDTH}}{state}")
    for title in ("urls", "sockets", "files"):
        lines += ["", title]
        for name, value in _mapping(status[title]).items():
            shown = " ".join(value) if isinstance(value, list) else str(value)
            lines.append(f"  {name:{_WIDTH}}{shown}")
    lines += ["", "applications"]
    for site in _list(status["sites"]):
        name = f"{site['service']} {site['color']} {site['version']}"
        answers = ", ".join(f"{count} x {code}" for code, count in _mapping(site["answers"]).items())
        state = "" if site["listening"] else f"not listening {site['error'] or ''}"
        lines.append(f"  {name:34}{site['address']!s:22}{answers or state}".rstrip())
    return "\n".join(lines)


def _numbered(name: str, node: int) -> str:
    return name if node == 1 else f"{name}{node}"


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[Mapping[str, object]]:
    return value if isinstance(value, list | tuple) else ()
