"""What runs in a lab, and where everything is."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lab.colors import colors_of
from lab.control import ControlError, call_now
from lab.data_systems import data_urls
from lab.hook_fault_command import troubles_of
from lab.layout import Lab, haproxy_name
from lab.monitoring import DASHBOARDS, monitoring_urls
from lab.start import PARTS
from lab.wiring import alerts_url, daemon_address, frontend_address, haproxy_page, node_urls

_WIDTH: Final = 18


def status_of(lab: Lab) -> dict[str, object]:
    """Return pids, sockets, addresses and files as JSON data."""
    running = lab.parts.running()
    remembered = lab.parts.remembered()
    counts = _asked(lab, "app", "/lab/counts")
    sites = _list(counts.get("sites"))
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
        "urls": _urls(lab),
        "sockets": {name: str(lab.socket(name)) for name in ("api", *haproxies, "pve", "app")},
        "files": _files(lab),
        "sites": sites,
        "colors": colors_of(lab, sites),
        "faults": _faults_of(lab, counts),
    }


def _urls(lab: Lab) -> Mapping[str, object]:
    return {
        **{_numbered("users", node): f"http://{frontend_address(lab, node)}/" for node in lab.haproxies},
        **{haproxy_name(node): f"http://{haproxy_page(lab, node)}/" for node in lab.haproxies},
        "metrics": f"http://{daemon_address(lab)}/metrics",
        "daemon": f"http://{daemon_address(lab)}/api/v1/objects",
        "alerts": alerts_url(lab),
        "proxmox": [*node_urls(lab)],
        **monitoring_urls(lab),
        **data_urls(lab),
    }


def _files(lab: Lab) -> Mapping[str, object]:
    return {
        "desired": str(lab.desired),
        "example": str(lab.example),
        "config": str(lab.config),
        "token": str(lab.token),
        "alertToken": str(lab.alert_token),
        "state": str(lab.state),
        "logs": str(lab.log),
        "dashboards": str(DASHBOARDS),
        **({"secrets": str(lab.secrets)} if lab.record.data else {}),
    }


def _faults_of(lab: Lab, counts: Mapping[str, object]) -> Mapping[str, object]:
    return {
        "app": _list(counts.get("faults")),
        "database": _mapping(counts.get("database")),
        "proxmox": _list(_asked(lab, "pve", "/state").get("faults")),
        "hooks": troubles_of(lab),
    }


def _asked(lab: Lab, socket: str, path: str) -> Mapping[str, object]:
    """Return a part's answer, nothing if it gives none."""
    try:
        return _mapping(call_now(lab.socket(socket), "GET", path))
    except ControlError:
        return {}


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
    lines += ["", "services", *_colored(_list(status["colors"]))]
    lines += ["", "faults in force", *(_worded(_mapping(status["faults"])) or ["  none"])]
    return "\n".join(lines)


def _colored(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Return a line a service: for each colour its version and, at the entry, its weight and state."""
    for service, slots in itertools.groupby(rows, key=lambda row: str(row["service"])):
        shown = [f"{row['color']} {row['version'] or '-'}{_traffic(_list(row['traffic']))}" for row in slots]
        yield f"  {service:20}" + "".join(f"{text:34}" for text in shown).rstrip()


def _traffic(nodes: Sequence[Mapping[str, object]]) -> str:
    texts = [f"{node['weight']} {node['state']}" if node else "away" for node in nodes]
    # The nodes of a pair do alike, or it is worth to be told.
    words = texts[:1] if len(set(texts)) <= 1 else texts
    return f", {' / '.join(words)}" if words else ""


def _worded(faults: Mapping[str, object]) -> list[str]:
    lines = [f"  app {text}" for text in _list(faults["app"])]
    if database := _mapping(faults["database"]):
        lines.append(f"  database {', '.join(f'{name} {value}' for name, value in database.items())}")
    lines += [f"  hook {name} {word}" for name, word in _mapping(faults["hooks"]).items()]
    for fault in _list(faults["proxmox"]):
        fields = [
            f"{name}={value}" for name, value in fault.items() if name not in {"number", "kind", "left"}
        ]
        lines.append(f"  proxmox {fault['number']}: {fault['kind']} {' '.join(fields)}")
    return lines


def _numbered(name: str, node: int) -> str:
    return name if node == 1 else f"{name}{node}"


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()
