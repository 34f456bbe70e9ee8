"""What HAProxy's runtime API answers, read into values. It has no exit codes: the text is all there is."""

import contextlib
import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from reconcilers.contract import PermanentError, TransientError
from reconcilers.servers import Backend, Health, Server

UNKNOWN_BACKEND: Final = ("No such backend.", "Can't find backend.", "No such proxy.")
#: HAProxy's words and our reason for them; measured with 2.6.12.
_REFUSALS: Final = (
    *((text, "UnknownBackend") for text in UNKNOWN_BACKEND),
    ("No such server.", "UnknownServer"),
    ("Permission denied", "SocketNotAdmin"),
    ("Backend is using a static LB algorithm", "StaticAlgorithm"),
    ("Absolute weight can only be", "WeightRefused"),
    ("Unknown command", "CommandUnknown"),
)


@dataclass(frozen=True, slots=True)
class Process:
    """Which HAProxy answers. ``uptime_s`` is whole seconds."""

    version: str
    pid: int
    uptime_s: int


@dataclass(frozen=True, slots=True)
class StatRow:
    """One line of ``show stat``. Absent numbers are None; ``health`` runs from 0 to rise + fall - 1."""

    proxy: str
    name: str
    algorithm: str
    rise: int | None
    fall: int | None
    health: int | None


def check_done(text: str, command: str) -> None:
    """Return if HAProxy said nothing, which means that it was done; raise PermanentError with its words."""
    refusal = text.strip()
    if not refusal:
        return
    first = refusal.splitlines()[0]
    reason = next((reason for words, reason in _REFUSALS if refusal.startswith(words)), "CommandRefused")
    raise PermanentError(f"{command}: {first}", reason=reason)


def read_process(text: str) -> Process:
    """Read ``show info``."""
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    with _complaining("show info", text):
        return Process(fields["Version"], int(fields["Pid"]), int(fields["Uptime_sec"]))


def read_is_admin(text: str) -> bool:
    """Read ``show cli level``: admin, operator or user."""
    level = text.strip()
    if level not in {"admin", "operator", "user"}:
        raise _not_understood("show cli level", text)
    return level == "admin"


def read_weight(text: str) -> tuple[int, int]:
    """Read ``get weight``: the weight now, and the configured one."""
    match = re.fullmatch(r"(\d{1,9}) \(initial (\d{1,9})\)", text.strip())
    if match is None:
        check_done(text, "get weight")
        raise _not_understood("get weight", text)
    return int(match[1]), int(match[2])


def read_stat(text: str) -> tuple[StatRow, ...]:
    """Read ``show stat``; empty for a backend that is not there."""
    if text.startswith(UNKNOWN_BACKEND):
        return ()
    if not text.startswith("# pxname,") or not text.endswith("\n\n"):
        raise _not_understood("show stat", text)
    with _complaining("show stat", text):
        return tuple(_stat_row(row) for row in csv.DictReader(io.StringIO(text[2:].strip())))


def _stat_row(row: Mapping[str, str]) -> StatRow:
    def number(name: str) -> int | None:
        return int(row[name]) if row[name] else None

    return StatRow(
        proxy=row["pxname"],
        name=row["svname"],
        algorithm=row["algo"],
        rise=number("check_rise"),
        fall=number("check_fall"),
        health=number("check_health"),
    )


def read_states(text: str) -> tuple[Mapping[str, str], ...]:
    """Read ``show servers state``, a mapping of its columns for each server; empty for an unknown backend."""
    if text.startswith(UNKNOWN_BACKEND):
        return ()
    lines = text.splitlines()
    if [line[:8] for line in lines[:2]] != ["1", "# be_id "] or lines[-1].strip():
        raise _not_understood("show servers state", text)
    columns = lines[1][2:].split()
    rows = [line.split(" ") for line in lines[2:] if line.strip()]
    if any(len(row) != len(columns) for row in rows):
        raise _not_understood("show servers state", text)
    return tuple(dict(zip(columns, row, strict=True)) for row in rows)


def read_backends(states: str, stat: str) -> tuple[Backend, ...]:
    """Join ``show servers state`` (what is set) and ``show stat`` (what works) to backends."""
    rows = {(row.proxy, row.name): row for row in read_stat(stat)}
    found: dict[str, list[Server]] = {name: [] for name, kind in rows if kind == "BACKEND"}
    with _complaining("show servers state", states):
        for state in read_states(states):
            row = rows.get((state["be_name"], state["srv_name"]))
            # Only what both answers have: a reload between the two is seen whole at the next look.
            if row is not None and state["be_name"] in found:
                found[state["be_name"]].append(_server(state, row))
    algorithms = {name: rows[name, "BACKEND"].algorithm for name in found}
    return tuple(Backend(name, algorithms[name], tuple(servers)) for name, servers in found.items())


def _server(state: Mapping[str, str], row: StatRow) -> Server:
    is_up = state["srv_op_state"] != "0"
    return Server(
        name=state["srv_name"],
        address=_address(state["srv_addr"], state["srv_port"]),
        weight=int(state["srv_uweight"]),
        initial_weight=int(state["srv_iweight"]),
        admin=int(state["srv_admin_state"]),
        health=health_of(rise=row.rise, fall=row.fall, health=row.health) if is_up else Health.DOWN,
    )


def health_of(*, rise: int | None, fall: int | None, health: int | None) -> Health:
    """Read the columns check_rise, check_fall and check_health of a server that is used."""
    if health is None or rise is None or fall is None:
        return Health.UNCHECKED
    # A server that is opened begins at rise: the first check lifts it to the top, or takes it DOWN.
    top = rise + fall - 1
    if health <= rise < top:
        return Health.DOUBTFUL
    return Health.WAVERING if health < top else Health.UP


def _address(host: str, port: str) -> str | None:
    if host == "-":
        return None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _not_understood(command: str, text: str) -> TransientError:
    return TransientError(f"{command}: not an answer of HAProxy, or cut short: {text[:60]!r}")


@contextlib.contextmanager
def _complaining(command: str, text: str) -> Iterator[None]:
    """Turn a missing column, or a number that is none, into a transient error."""
    try:
        yield
    except (ValueError, KeyError, csv.Error) as exc:
        raise _not_understood(command, text) from exc
