"""What this slice asks of a cluster, request by request, and what the answers come to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from pydantic import JsonValue

from reconcilers.contract import PermanentError, TransientError
from reconcilers.elasticsearch.answers import (
    read_about,
    read_aged,
    read_aliases,
    read_disks,
    read_health,
    read_indices,
    read_matched,
    read_named,
    read_policy,
    read_settings,
    read_stuck,
)
from reconcilers.elasticsearch.model import Aged, Body, Disk, Questions, SeenCluster, SeenPolicy, Thing

#: Elasticsearch takes request lines of 4 KiB; the rest of ours is shorter than the half of it.
_LONGEST_LIST: Final = 2000
_NOT_FOUND: Final = 404
#: For how long a node looks for its master, and waits for others: shorter than our own deadline.
_PATIENCE: Final = (("master_timeout", "2s"),)
_CHANGING: Final = (*_PATIENCE, ("timeout", "4s"))
_FLAT: Final = ("flat_settings", "true")
_LENIENT: Final = (("ignore_unavailable", "true"), ("allow_no_indices", "true"), ("expand_wildcards", "all"))
_MATCHED: Final = "index.blocks.*,index.lifecycle.*"


class NoMasterError(TransientError):
    """A node answered that it has no master; nothing was done."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: ``segments`` are the parts of its path, each of which may be a list with commas."""

    method: str
    segments: tuple[str, ...]
    query: tuple[tuple[str, str], ...] = ()
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a cluster answered: a success, or 404."""

    status: int
    body: JsonValue

    @property
    def found(self) -> JsonValue | None:
        """The body; None where there is no such thing."""
        return None if self.status == _NOT_FOUND else self.body


class Wire(Protocol):
    """The transport, as far as this slice uses it; it raises the contract's errors."""

    async def ask(self, request: Request) -> Reply:
        """Send one request; every failure but 404 is an error. NoMasterError where there is no master."""
        ...


class ElasticsearchClient(Protocol):
    """The calls of this slice; ``ElasticsearchClusters`` has them over a transport."""

    async def look(self, endpoint: str, questions: Questions) -> SeenCluster: ...
    async def ages(self, endpoint: str) -> tuple[Aged, ...]: ...
    async def put(self, endpoint: str, thing: Thing, name: str, body: str) -> None: ...
    async def change_aliases(self, endpoint: str, body: str) -> None: ...
    async def delete(self, endpoint: str, thing: Thing, name: str) -> None: ...


class ElasticsearchClusters:
    """The calls of this slice, for all endpoints of the settings."""

    def __init__(self, wires: Mapping[str, Wire]) -> None:
        self._wires = wires

    async def look(self, endpoint: str, questions: Questions) -> SeenCluster:
        """Ask for all of *questions*. NoMasterError where nothing can be said."""
        wire, asked = self._wire(endpoint), questions
        about = read_about(await _get(wire))
        health = read_health(await _get(wire, "_cluster", "health", query=_PATIENCE))
        settings = read_settings(await _get(wire, "_cluster", "settings", query=(_FLAT, *_PATIENCE)))
        policies = {name: await _policy(wire, name) for name in asked.policies}
        has_lifecycle = any(found is not None for found in policies.values())
        return SeenCluster(
            about=about,
            health=health,
            settings=settings,
            policies=policies,
            components={name: await _named(wire, "component_template", name) for name in asked.components},
            templates={name: await _named(wire, "index_template", name) for name in asked.templates},
            indices=read_indices(await _lists(wire, asked.indices)),
            aliases=await _aliases(wire, asked.aliases),
            matched=read_matched(await _lists(wire, asked.patterns, "_settings", _MATCHED)),
            lifecycle=await _lifecycle(wire) if has_lifecycle else None,
            stuck=await _stuck(wire, asked.patterns) if has_lifecycle else {},
            disks=await _disks(wire),
        )

    async def ages(self, endpoint: str) -> tuple[Aged, ...]:
        """Return all indices under a lifecycle policy, with their ages."""
        wire = self._wire(endpoint)
        every = (("only_managed", "true"), ("expand_wildcards", "all"))
        return read_aged(await _get(wire, "*", "_ilm", "explain", query=every))

    async def put(self, endpoint: str, thing: Thing, name: str, body: str) -> None:
        """Make or change one thing."""
        query, path = _query(thing), _path(thing, name)
        if thing is Thing.INDEX:
            # The answer does not wait for shards: that is what the health is for.
            query = (*query, ("wait_for_active_shards", "0"))
        _acknowledged(await self._wire(endpoint).ask(Request("PUT", path, query, body)), path)

    async def change_aliases(self, endpoint: str, body: str) -> None:
        """Carry out all actions of *body* in one change of the cluster's state, or none."""
        path = ("_aliases",)
        _acknowledged(await self._wire(endpoint).ask(Request("POST", path, _CHANGING, body)), path)

    async def delete(self, endpoint: str, thing: Thing, name: str) -> None:
        """Delete one thing; that it is gone already is as good."""
        path = _path(thing, name)
        reply = await self._wire(endpoint).ask(Request("DELETE", path, _query(thing)))
        if reply.found is not None:
            _acknowledged(reply, path)

    def _wire(self, endpoint: str) -> Wire:
        found = self._wires.get(endpoint)
        if found is None:
            raise PermanentError(
                f"the settings have no endpoint {endpoint} of type elasticsearch", reason="UnknownEndpoint"
            )
        return found


_PATHS: Final[Mapping[Thing, tuple[str, ...]]] = MappingProxyType({
    Thing.CLUSTER_SETTINGS: ("_cluster", "settings"),
    Thing.POLICY: ("_ilm", "policy", "{}"),
    Thing.COMPONENT: ("_component_template", "{}"),
    Thing.TEMPLATE: ("_index_template", "{}"),
    Thing.INDEX: ("{}",),
    Thing.INDEX_SETTINGS: ("{}", "_settings"),
    Thing.MAPPING: ("{}", "_mapping"),
})  # fmt: skip


def _path(thing: Thing, name: str) -> tuple[str, ...]:
    return tuple(name if part == "{}" else part for part in _PATHS[thing])


def _query(thing: Thing) -> tuple[tuple[str, str], ...]:
    """Return how long a change may wait; one of a template is refused with more than the master's."""
    return _PATIENCE if thing in {Thing.COMPONENT, Thing.TEMPLATE} else _CHANGING


def _acknowledged(reply: Reply, path: Sequence[str]) -> None:
    """Raise TransientError where the thing went away meanwhile, or not all nodes have the change yet."""
    where = f"/{'/'.join(path)}"
    if reply.found is None:
        raise TransientError(f"{where}: it is gone; the next look tells more")
    if isinstance(reply.body, dict) and reply.body.get("acknowledged") is False:
        raise TransientError(f"{where}: not all nodes have the change within 4 s; the next look tells more")


async def _get(wire: Wire, *segments: str, query: tuple[tuple[str, str], ...] = ()) -> JsonValue | None:
    return (await wire.ask(Request("GET", segments, query))).found


async def _policy(wire: Wire, name: str) -> SeenPolicy | None:
    return read_policy(name, await _get(wire, "_ilm", "policy", name, query=_PATIENCE))


async def _named(wire: Wire, what: str, name: str) -> Body | None:
    return read_named(what, name, await _get(wire, f"_{what}", name, query=_PATIENCE))


async def _lists(wire: Wire, names: Sequence[str], *more: str) -> Mapping[str, JsonValue]:
    """Ask about many names, as many at once as a request line has room for."""
    found: dict[str, JsonValue] = {}
    for some in _chunks(names):
        answer = await _get(wire, ",".join(some), *more, query=(_FLAT, *_LENIENT, *_PATIENCE))
        found |= answer if isinstance(answer, dict) else {}
    return found


def _chunks(names: Sequence[str]) -> list[list[str]]:
    chunks: list[list[str]] = []
    room = 0
    for name in names:
        if room < len(name) + 1:
            chunks.append([])
            room = _LONGEST_LIST
        chunks[-1].append(name)
        room -= len(name) + 1
    return chunks


async def _aliases(wire: Wire, names: Sequence[str]) -> Mapping[str, Mapping[str, Body]]:
    found: dict[str, Mapping[str, Body]] = {}
    for some in _chunks(names):
        # Where one of them is missing the answer is 404, and has the others all the same.
        reply = await wire.ask(Request("GET", ("_alias", ",".join(some))))
        found |= read_aliases(some, reply.body)
    return found


async def _lifecycle(wire: Wire) -> str | None:
    answer = await _get(wire, "_ilm", "status")
    return str(answer.get("operation_mode")) if isinstance(answer, dict) else None


async def _stuck(wire: Wire, patterns: Sequence[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for some in _chunks(patterns):
        query = (("only_errors", "true"), ("only_managed", "true"), ("expand_wildcards", "all"))
        found |= read_stuck(await _get(wire, ",".join(some), "_ilm", "explain", query=query))
    return found


async def _disks(wire: Wire) -> Mapping[str, Disk]:
    query = (("format", "json"), ("bytes", "b"), ("h", "node,disk.used,disk.total"))
    return read_disks(await _get(wire, "_cat", "allocation", query=query))
