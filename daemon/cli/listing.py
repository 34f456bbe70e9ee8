"""The table of each kind's objects."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from daemon.cli.facts import Thing
from daemon.cli.release.phases import PROMOTED, SHARED, Phase
from daemon.cli.screen import Screen, Tone
from daemon.cli.spans import age
from daemon.cli.states import state_of
from daemon.cli.table import Cell, table
from daemon.cli.values import shown

_Columns = Mapping[str, Callable[[Thing], str]]
_RUNS_SHARED: Final = frozenset(phase.value for phase in SHARED)
_HAS_ALL: Final = frozenset(phase.value for phase in {*PROMOTED, Phase.COMPLETED})


def listing(objects: Sequence[Thing], screen: Screen, now: datetime, *, is_wide: bool) -> list[str]:
    """Return a table a kind, with an empty line between them."""
    lines: list[str] = []
    for kind in sorted({found.kind for found in objects}):
        chosen = [found for found in objects if found.kind == kind]
        lines += [""] if lines else []
        lines += _of_one_kind(kind, chosen, screen, now, is_wide=is_wide)
    return lines


def _of_one_kind(
    kind: str, objects: Sequence[Thing], screen: Screen, now: datetime, *, is_wide: bool
) -> list[str]:
    own = _OF_KIND.get(kind, {})
    extra = _WIDE if is_wide else {}
    headings = [kind.upper(), "STATE", "FOR", *own, *extra, "MESSAGE"]
    rows = []
    for found in objects:
        state = state_of(found)
        facts = [Cell(column(found)) for column in (*own.values(), *extra.values())]
        first = [Cell(found.name), Cell(state.word, state.tone), Cell(age(state.since, now))]
        rows.append([*first, *facts, Cell(state.message, Tone.FAINT)])
    return table(headings, rows, screen)


def text_at(found: Thing, *path: str) -> str:
    """Return what stands at a path of the object's JSON, empty if nothing does."""
    value: Any = found.raw
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, list):
        return "; ".join(map(shown, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(inner)}" for name, inner in value.items())
    return shown(value)


def _running(found: Thing) -> str:
    """Return how many of a broker's nodes run, of how many."""
    nodes = found.raw["status"].get("nodes") or {}
    return f"{sum(bool(node['running']) for node in nodes.values())}/{len(nodes)}" if nodes else ""


def _nodes(found: Thing) -> str:
    """Return HAProxy's nodes without their sockets, which the settings have: version and pid, or away."""
    nodes = found.raw["status"].get("nodes") or ()
    return "; ".join(re.sub(r" at \S+: ", ": ", shown(node), count=1) for node in nodes)


def _live(found: Thing) -> str:
    """Return the colour that has the traffic, with its version."""
    live = text_at(found, "status", "live")
    return f"{live} {text_at(found, 'status', 'versions', live)}".strip()


def _versions(found: Thing) -> str:
    """Return the version that is released, behind the one that was live before where that was one."""
    attempt = _attempt(found)
    old = {member.get("stableVersion") for member in attempt.get("members", {}).values()} - {None}
    new = text_at(found, "status", "attempt", "version") or text_at(found, "spec", "version")
    return f"{old.pop()} → {new}" if len(old) == 1 else new


def _phase(found: Thing) -> str:
    return text_at(found, "status", "attempt", "phase")


def _share(found: Thing) -> str:
    """Return the stable and the candidate share of the first entry, as far as the attempt tells."""
    attempt, shown = _attempt(found), found.raw.get("memo") or {}
    if not attempt:
        return ""
    figures: Mapping[str, Any] = next(iter(shown.get("shown", {}).values()), {})
    if attempt["phase"] in _RUNS_SHARED and shown.get("attempt") == attempt["number"] and figures:
        share = figures.get("observed", figures["asked"])
    else:
        share = 100 if attempt["phase"] in _HAS_ALL else 0
    return f"{100 - share}/{share}"


def _attempt(found: Thing) -> Mapping[str, Any]:
    return found.raw["status"].get("attempt") or {}


_OF_KIND: Final[Mapping[str, _Columns]] = {
    "Container": {
        "CT": lambda found: text_at(found, "spec", "ctid"),
        "NODE": lambda found: text_at(found, "status", "node") or text_at(found, "spec", "node"),
        "RUNS": lambda found: text_at(found, "status", "state"),
    },
    "Elasticsearch": {
        "VERSION": lambda found: text_at(found, "status", "version"),
        "CLUSTER": lambda found: text_at(found, "status", "clusterName"),
        "HEALTH": lambda found: text_at(found, "status", "health"),
    },
    "PostgresCluster": {
        "PRIMARY": lambda found: text_at(found, "status", "primary"),
        "RESTART": lambda found: text_at(found, "status", "pendingRestart"),
    },
    "RabbitMQ": {
        "VERSION": lambda found: text_at(found, "status", "version"),
        "NODES": _running,
    },
    "RedisInstance": {
        "VERSION": lambda found: text_at(found, "status", "version"),
        "ROLE": lambda found: text_at(found, "status", "role"),
        "PERSISTENCE": lambda found: text_at(found, "status", "persistence"),
    },
    "Release": {"VERSION": _versions, "PHASE": _phase, "SHARE": _share},
    "Service": {"LIVE": _live},
    "TrafficSplit": {
        "BLUE": lambda found: text_at(found, "spec", "blue", "weight"),
        "GREEN": lambda found: text_at(found, "spec", "green", "weight"),
        "OBSERVED": lambda found: text_at(found, "status", "observed"),
    },
    "LoadBalancer": {
        "ENDPOINT": lambda found: text_at(found, "spec", "endpoint"),
        "NODES": _nodes,
    },
}
_WIDE: Final[_Columns] = {
    "GEN": lambda found: f"{found.observed_generation}/{found.generation}",
    "OWNER": lambda found: found.owner or "",
    "FILE": lambda found: found.origin or "",
}
