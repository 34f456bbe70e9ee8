"""What a release asks of the outside, and how the answers are read."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol

from crds.service import Health
from reconcilers.contract import PermanentError, TransientError
from reconcilers.counters import CountedNode
from reconcilers.hook_runs import HookResult, HookRun
from reconcilers.release.model import Probe, Room, Site, Well
from reconcilers.response_times import Answered
from reconcilers.servers import Node, NodeDown
from reconcilers.transports.http_probe import HttpAnswer
from reconcilers.transports.proxmox import NOTHING, ApiPath, Json

_OK: Final = 200


class Balancers(Protocol):
    """HAProxy: counters each second, everything before a release."""

    async def count(self, endpoint: str, backend: str) -> tuple[CountedNode | NodeDown, ...]: ...
    async def look(self, endpoint: str, backend: str) -> tuple[Node | NodeDown, ...]: ...


class Proxmox(Protocol):
    """A cluster, to read only."""

    async def read(self, path: ApiPath, params: Mapping[str, str] = NOTHING) -> Json: ...


class Prober(Protocol):
    """Health endpoints."""

    async def get(self, host: str, port: int, path: str) -> HttpAnswer: ...


class Hooks(Protocol):
    """Programs of the settings."""

    @property
    def known(self) -> Mapping[str, bool]:
        """Each hook of the settings, True if it may simply be run again."""
        ...

    async def start(self, run: HookRun) -> str: ...
    async def look(self, run_id: str) -> HookResult | None: ...
    async def stop(self, run_id: str) -> None: ...
    def dismiss(self, run_id: str) -> None:
        """Ask a run to end, and do not wait for it."""
        ...


class ResponseLog(Protocol):
    """Response times out of HAProxy's log."""

    def answers(
        self, endpoint: str, backend: str, server: str, limits_ms: tuple[float, ...]
    ) -> Answered | None:
        """Return what was told of one server so far; None where no log tells."""
        ...


class Reports(Protocol):
    """Where stories of attempts are kept."""

    async def has(self, name: str) -> bool: ...
    async def write(self, name: str, text: str) -> None: ...


class ReportFolder:
    """Stories of attempts as files in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def has(self, name: str) -> bool:
        """Whether the report is there."""
        return await asyncio.to_thread((self._folder / name).exists)

    async def write(self, name: str, text: str) -> None:
        """Write it whole; TransientError if that cannot be."""
        try:
            await asyncio.to_thread(self._write, name, text)
        except OSError as exc:
            raise TransientError(f"cannot write the report {self._folder / name}: {exc.strerror}") from exc

    def _write(self, name: str, text: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{name}.draft"
        draft.write_text(text, encoding="utf-8")
        draft.replace(self._folder / name)


async def read_site(
    cluster: Proxmox, templates: Iterable[tuple[str, str]], disks: Iterable[tuple[str, str]]
) -> Site:
    """Ask a cluster what it has; *templates* and *disks* name nodes and their storages. Never raises."""
    try:
        rows = _rows(await cluster.read(("cluster", "resources")))
        volumes = set[tuple[str, str]]()
        for node, storage in sorted(set(templates)):
            path = ("nodes", node, "storage", storage, "content")
            listed = _rows(await cluster.read(path, {"content": "vztmpl"}))
            volumes |= {(node, str(row["volid"])) for row in listed if "volid" in row}
        free = {}
        for node, storage in sorted(set(disks)):
            found = await cluster.read(("nodes", node, "storage", storage, "status"))
            free[node, storage] = _number(found, "avail") if isinstance(found, dict) else 0
    except (TransientError, PermanentError) as exc:
        return Site(unseen=str(exc))
    return Site(
        rooms={str(row.get("node")): _room(row) for row in rows if row.get("type") == "node"},
        storage_free=free,
        templates=frozenset(volumes),
        guests={
            _number(row, "vmid"): str(row.get("name", "nameless"))
            for row in rows
            if row.get("type") in {"lxc", "qemu"}
        },
    )


def _room(row: Mapping[str, Json]) -> Room:
    """Read a node's row; without Sys.Audit it has no figures."""
    free = _number(row, "maxmem") - _number(row, "mem") if "maxmem" in row else None
    return Room(str(row.get("node")), is_online=row.get("status") == "online", memory_free=free)


def _rows(answer: Json) -> list[Mapping[str, Json]]:
    if not isinstance(answer, list):
        raise TransientError(f"a list was expected, not {str(answer)[:60]!r}")
    return [row for row in answer if isinstance(row, dict)]


def _number(row: Mapping[str, Json], name: str) -> int:
    value = row.get(name)
    return int(value) if isinstance(value, int | float) else 0


async def probe(prober: Prober, address: str, port: int, health: Health, version: str) -> Probe:
    """Ask a health endpoint and compare its answer. Never raises."""
    try:
        answer = await prober.get(address, port, health.path)
    except TransientError as exc:
        return Probe(Well.SILENT, str(exc))
    where = f"{address}:{port}{health.path}"
    if answer.status != _OK:
        return Probe(Well.NO, f"{where} answers {answer.status}")
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return Probe(Well.NO, f"{where} answers no JSON")
    if not isinstance(found, dict):
        return Probe(Well.NO, f"{where} answers no JSON object")
    for name, wanted in {**health.expect, "version": version}.items():
        told = found.get(name)
        text = told if isinstance(told, str) else json.dumps(told)
        if text != wanted:
            return Probe(Well.NO, f"{where} says {name} {text[:60]!r}, not {wanted!r}")
    return Probe(Well.YES, f"{where} is well, {version}")
