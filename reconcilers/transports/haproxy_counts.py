"""``show info`` and ``show stat`` in one exchange, read into counters that surely belong to their process."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from reconcilers.contract import TransientError
from reconcilers.counters import CountedServer, Counters
from reconcilers.servers import Health
from reconcilers.transports.haproxy_answers import UNKNOWN_BACKEND, health_of, read_process

_NOT_USED: Final = ("DOWN", "MAINT")


@dataclass(frozen=True, slots=True)
class Counted:
    """One process, and what it has counted for a backend; no servers if it has no such backend."""

    pid: int
    servers: tuple[CountedServer, ...]


def count_command(backend: str) -> str:
    """Return what to ask: two commands on one connection, since a reload in between changes who answers."""
    # 4: servers, whatever their number (-1).
    return f"show info;show stat {backend} 4 -1"


def read_counted(text: str, backend: str) -> Counted:
    """Read the answer to ``count_command``; TransientError where it is none, or cut short."""
    info, _, stat = text.partition("\n\n")
    pid = read_process(info).pid
    if stat.startswith(UNKNOWN_BACKEND):
        return Counted(pid, ())
    if not stat.startswith("# pxname,") or not stat.endswith("\n\n"):
        raise _not_understood(text)
    header, *lines = stat[2:].strip().split("\n")
    names = header.split(",")
    try:
        rows = [dict(zip(names, values, strict=True)) for values in csv.reader(lines)]
        # A name of digits that is no name is taken for a number by HAProxy.
        return Counted(pid, tuple(_server(row) for row in rows if row["pxname"] == backend))
    except (ValueError, KeyError, csv.Error) as exc:
        raise _not_understood(text) from exc


def _server(row: Mapping[str, str]) -> CountedServer:
    def number(name: str) -> int:
        # A backend of mode tcp has no answers to count.
        return int(row[name] or 0)

    counters = Counters(
        requests=number("req_tot"),
        errors_5xx=number("hrsp_5xx"),
        refused=number("econ"),
        broken=number("eresp"),
        retries=number("wretr"),
        redispatches=number("wredis"),
        sessions=number("scur"),
        queued=number("qcur"),
        attempts=number("stot"),
        client_aborts=number("cli_abrt"),
        answers_1xx=number("hrsp_1xx"),
        answers_2xx=number("hrsp_2xx"),
        answers_3xx=number("hrsp_3xx"),
        answers_4xx=number("hrsp_4xx"),
    )
    return CountedServer(row["svname"], _health(row), counters)


def _health(row: Mapping[str, str]) -> Health:
    if row["status"].startswith(_NOT_USED):
        return Health.DOWN

    def number(name: str) -> int | None:
        return int(row[name]) if row[name] else None

    return health_of(rise=number("check_rise"), fall=number("check_fall"), health=number("check_health"))


def _not_understood(text: str) -> TransientError:
    return TransientError(f"show info;show stat: not an answer of HAProxy, or cut short: {text[-60:]!r}")
