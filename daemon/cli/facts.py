"""The daemon's JSON as frozen values: the border of psactl. What does not fit raises CommandError."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from daemon.cli.failures import CommandError
from daemon.cli.values import instant, line, lines, optional, words

Fact = TypeVar("Fact")


@dataclass(frozen=True, slots=True)
class Condition:
    """One statement about an object; ``status`` is True, False or Unknown."""

    type: str
    status: str
    reason: str
    message: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Thing:
    """An object; ``raw`` is the whole JSON, for -o json and for what only one kind has.

    ``suspended`` says why, and until when, it is left alone.
    """

    kind: str
    name: str
    uid: str
    generation: int
    observed_generation: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owner: str | None
    origin: str | None
    created_at: datetime | None
    orphaned_since: datetime | None
    suspended: str | None
    conditions: tuple[Condition, ...]
    children: tuple[str, ...]
    raw: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Kind/name."""
        return f"{self.kind}/{self.name}"

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of that type, None if nothing was said yet."""
        return next((found for found in self.conditions if found.type == kind), None)


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that is not as asked."""

    path: str
    old: str
    new: str
    origin: str | None


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One thing that would be done; ``needs`` is the destructive verb that the spec must allow."""

    summary: str
    target: str
    changes: tuple[Difference, ...]
    needs: str | None
    allowed: bool
    origin: str | None


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be done about one object, and what is in the way; reasons are None where nothing is."""

    key: str
    steps: tuple[PlannedStep, ...]
    held: str | None
    held_reason: str | None
    waiting: str | None
    blocked: str | None
    foreign: str | None
    failed: str | None
    error: str | None
    dependencies: str | None

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do or to wait for."""
        return not (self.steps or self.waiting or self.blocked or self.failed or self.error)


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of an object, or of the daemon."""

    id: int
    at: datetime | None
    key: str
    reason: str
    message: str
    warning: bool
    count: int
    actor: str | None


@dataclass(frozen=True, slots=True)
class FileProblem:
    """What is wrong with a file; ``rendered`` has several lines, ``key`` is the object if it is known."""

    file: str
    line: int
    message: str
    rendered: str
    key: str | None


@dataclass(frozen=True, slots=True)
class SourceState:
    """How the watched directory is; what is in force may be older than its files unless ``is_current``."""

    is_current: bool
    healthy: bool
    message: str
    problems: tuple[FileProblem, ...]


@dataclass(frozen=True, slots=True)
class EndpointState:
    """An outside system; ``up`` is None before the first answer."""

    name: str
    system: str
    up: bool | None
    breaker_open: bool


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """How the daemon is, and where it keeps its state and reads its settings."""

    version: str
    mode: str
    mode_text: str
    started_at: datetime | None
    state: Path
    settings: Path
    source_healthy: bool
    source_message: str
    files: int
    problems: tuple[FileProblem, ...]
    total: int
    ready: int
    endpoints: tuple[EndpointState, ...]
    queue_depth: int


def understood(parse: Callable[[Any], Fact], raw: Any) -> Fact:
    """Return *raw* as *parse* reads it; raise CommandError where it has another shape."""
    try:
        return parse(raw)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        text = f"the daemon's answer does not fit this psactl: {type(exc).__name__} {exc}"
        raise CommandError(text, "compare `psactl version`: are both of one release?") from exc


def things(raw: Any) -> tuple[Thing, ...]:
    """Parse a list of objects."""
    return tuple(thing(each) for each in raw)


def thing(raw: Any) -> Thing:
    """Parse an object."""
    metadata, status = raw["metadata"], raw["status"]
    return Thing(
        kind=line(raw["kind"]),
        name=line(metadata["name"]),
        uid=line(metadata["uid"]),
        generation=int(metadata["generation"]),
        observed_generation=int(status["observedGeneration"]),
        labels=words(metadata["labels"]),
        annotations=words(metadata["annotations"]),
        owner=optional(metadata["owner"]),
        origin=optional(metadata["origin"]),
        created_at=instant(metadata["createdAt"]),
        orphaned_since=instant(metadata["orphanedSince"]),
        suspended=_suspension(raw["spec"], metadata),
        conditions=tuple(_condition(each) for each in status["conditions"]),
        children=tuple(line(each) for each in raw["children"]),
        raw=raw,
    )


def _suspension(spec: Any, metadata: Any) -> str | None:
    found = metadata.get("suspended")
    if found:
        end = f"until {line(found['until'])}" if found.get("until") else "until it is resumed"
        return f"{line(found['reason'])}, {end} [{line(found['actor'])}]"
    return "its spec says suspend: true" if spec.get("suspend") else None


def _condition(raw: Any) -> Condition:
    return Condition(
        type=line(raw["type"]),
        status=line(raw["status"]),
        reason=line(raw["reason"]),
        message=line(raw["message"]),
        since=instant(raw["since"]),
    )


def plans(raw: Any) -> tuple[Planned, ...]:
    """Parse the answer to a request for plans."""
    return tuple(_planned(each) for each in raw["plans"])


def _planned(raw: Any) -> Planned:
    held, blocked = raw.get("held"), raw["blocked"]
    return Planned(
        key=line(raw["object"]),
        steps=tuple(_step(each) for each in raw["steps"]),
        held=line(held["message"]) if held else None,
        held_reason=line(held["reason"]) if held else None,
        waiting=optional(raw["waiting"]),
        blocked=line(f"{blocked['reason']}: {blocked['message']}") if blocked else None,
        foreign=optional(raw["foreign"]),
        failed=optional(raw["failed"]),
        error=optional(raw["error"]),
        dependencies=optional(raw["dependencies"]),
    )


def _step(raw: Any) -> PlannedStep:
    return PlannedStep(
        summary=line(raw["summary"]),
        target=line(raw["target"]),
        changes=tuple(
            Difference(line(c["path"]), line(c["old"]), line(c["new"]), optional(c["origin"]))
            for c in raw["changes"]
        ),
        needs=optional(raw["needs"]),
        allowed=bool(raw["allowed"]),
        origin=optional(raw["origin"]),
    )


def happenings(raw: Any) -> tuple[Happening, ...]:
    """Parse a list of events."""
    return tuple(happening(each) for each in raw)


def happening(raw: Any) -> Happening:
    """Parse an event."""
    return Happening(
        id=int(raw["id"]),
        at=instant(raw["at"]),
        key=line(raw["object"]),
        reason=line(raw["reason"]),
        message=line(raw["message"]),
        warning=bool(raw["warning"]),
        count=int(raw["count"]),
        actor=optional(raw.get("actor")),
    )


def daemon_status(raw: Any) -> DaemonStatus:
    """Parse the daemon's status."""
    source, objects, paths = raw["source"], raw["objects"], raw["paths"]
    return DaemonStatus(
        version=line(raw["version"]),
        mode=line(raw["mode"]),
        mode_text=line(raw["effectiveModeText"]),
        started_at=instant(raw["startedAt"]),
        state=Path(line(paths["state"])),
        settings=Path(line(paths["settings"])),
        source_healthy=bool(source["healthy"]),
        source_message=line(source["message"] or ""),
        files=int(source["files"]),
        problems=tuple(_problem(each) for each in source["problems"]),
        total=int(objects["total"]),
        ready=int(objects["ready"]),
        endpoints=tuple(_endpoint(each) for each in raw["endpoints"]),
        queue_depth=int(raw["queueDepth"]),
    )


def _problem(raw: Any) -> FileProblem:
    rendered = lines(raw["rendered"])
    return FileProblem(
        line(raw["file"]), int(raw["line"]), line(raw["message"]), rendered, optional(raw.get("object"))
    )


def source_state(raw: Any) -> SourceState:
    """Parse the answer to a request to catch up with the files."""
    source = raw["source"]
    return SourceState(
        is_current=raw["isCurrent"] is True,
        healthy=bool(source["healthy"]),
        message=line(source["message"] or ""),
        problems=tuple(_problem(each) for each in source["problems"]),
    )


def _endpoint(raw: Any) -> EndpointState:
    up = raw["up"]
    return EndpointState(
        line(raw["name"]), line(raw["system"]), None if up is None else bool(up), raw["breaker"] is True
    )
