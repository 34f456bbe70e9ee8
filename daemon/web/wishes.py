"""What people may ask of releases, traffic and containers; each wish is an event in the same transaction."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from crds.balancer import Override, TrafficSplitSpec
from crds.freeze import FREEZE, Freeze, freeze_at
from crds.meta import Key
from crds.release import ReleaseStatus
from crds.service import split_key
from daemon.engine.controller import Controller
from daemon.engine.workset import Priority
from daemon.ports import Clock
from daemon.store.operations import Apply, Ask, Assign, Record, Saw
from daemon.store.store import StaleError, Store
from daemon.web.answers import instant
from daemon.web.console import DAEMON, UnknownObjectError
from reconcilers.contract import AnyResource

#: What may be asked of a release, and the event that says so.
VERBS: Final[Mapping[str, str]] = MappingProxyType({
    "promote": "PromoteRequested",
    "pause": "PauseRequested",
    "resume": "ResumeRequested",
    "abort": "AbortRequested",
    "rollback": "RollbackRequested",
    "retry": "RetryRequested",
})  # fmt: skip
LONGEST_OVERRIDE: Final = timedelta(hours=24)


class ConflictError(Exception):
    """What is asked contradicts what is; *code* is one CamelCase word."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


@dataclass(frozen=True, slots=True)
class ReleaseWish:
    """What somebody wants of a release. ``attempt`` is the one that he has seen, None for any."""

    verb: str
    reason: str
    until: datetime | None = None
    attempt: int | None = None
    force: bool = False

    @property
    def arguments(self) -> Mapping[str, str]:
        """Return what the release's plan reads."""
        said = {
            "until": self.until.isoformat() if self.until is not None else None,
            "attempt": str(self.attempt) if self.attempt is not None else None,
            "force": "true" if self.force else None,
        }
        return {name: value for name, value in said.items() if value is not None}


class Wishes:
    """Writes what people want into the store, for the objects' own passes to follow."""

    def __init__(self, store: Store, controller: Controller, clock: Clock) -> None:
        self._store = store
        self._controller = controller
        self._clock = clock

    def now(self) -> datetime:
        """Return the wall time."""
        return self._clock.now()

    async def ask(self, name: str, wish: ReleaseWish, actor: str) -> int:
        """Ask something of a release and return the request's number; its next pass answers.

        Raises UnknownObjectError, and ConflictError if another attempt than the wish's is the last one.
        """
        release = self._find(Key("Release", name))
        _refuse_other_attempt(release, wish.attempt)
        now = self.now()
        end = f" until {instant(wish.until)}" if wish.until is not None else ""
        said = Record(release.key, now, VERBS[wish.verb], f"{wish.reason}{end}", actor=actor)
        ask = Ask(release.key, wish.verb, actor, now, wish.reason, wish.arguments)
        state = await self._store.commit([ask, said])
        return state.objects[release.key].requests[-1].id

    async def restart(self, container: str, reason: str, actor: str) -> int:
        """Ask a container for a restart and return the request's number; raise UnknownObjectError."""
        found, now = self._find(Key("Container", container)), self.now()
        said = Record(found.key, now, "RestartRequested", reason, actor=actor)
        state = await self._store.commit([Ask(found.key, "restart", actor, now, reason), said])
        return state.objects[found.key].requests[-1].id

    async def override(self, service: str, override: Override) -> Key:
        """Take a service's traffic out of the record's hands for a while; return the split's key.

        Raises UnknownObjectError, and ConflictError where nobody would be left, or HAProxy cannot do it.
        """
        if override.blue == override.green == 0:
            raise ConflictError("NobodyLeft", "with both at 0 nobody would be left", "give one a weight")
        split = self._split(service)
        await self._refuse_impossible(split, override)
        weights = f"blue {override.blue}, green {override.green} until {instant(override.until)}"
        text = f"{weights}: {override.reason}"
        said = Record(split.key, self.now(), "TrafficSet", text, actor=override.actor)
        await self._rewrite(service, override, said)
        return split.key

    async def clear_override(self, service: str, reason: str, actor: str) -> Key:
        """Give the traffic back to the record; nothing happens where it has it."""
        split = self._split(service)
        if isinstance(split.spec, TrafficSplitSpec) and split.spec.override is not None:
            said = Record(split.key, self.now(), "TrafficCleared", reason, actor=actor)
            await self._rewrite(service, None, said)
        return split.key

    async def freeze(self, freeze: Freeze) -> None:
        """Let no release move forward until then."""
        text = f"until {instant(freeze.until)}: {freeze.reason}"
        await self._assign(freeze.model_dump_json(by_alias=True), "Frozen", text, freeze.actor)

    async def thaw(self, reason: str, actor: str) -> None:
        """Let releases move forward again; nothing happens where they may."""
        if freeze_at(self._store.state.value(FREEZE), self.now()) is not None:
            await self._assign("", "Thawed", reason, actor)

    async def _assign(self, value: str, reason: str, message: str, actor: str) -> None:
        said = Record(DAEMON, self.now(), reason, message, actor=actor)
        await self._store.commit([Assign(FREEZE, value), said])
        for release in self._store.state.list("Release"):
            self._controller.wake(release.key, Priority.CHANGE)

    async def _rewrite(self, service: str, override: Override | None, said: Record) -> None:
        """Write the override into the newest split; a release may write at the same time, so try twice."""
        with contextlib.suppress(StaleError):
            await self._store.commit([self._rewritten(service, override), said])
            return
        try:
            await self._store.commit([self._rewritten(service, override), said])
        except StaleError as exc:
            raise ConflictError("Stale", str(exc), "ask again") from exc

    def _rewritten(self, service: str, override: Override | None) -> Apply:
        split = self._split(service)
        return Apply(
            key=split.key,
            uid=split.uid,
            spec=split.spec.model_copy(update={"override": override}),
            at=self.now(),
            labels=split.labels,
            annotations=split.annotations,
            owner=split.owner,
            origin=split.origin,
            lines=split.lines,
            saw=Saw.of(split),
        )

    async def _refuse_impossible(self, split: AnyResource, override: Override) -> None:
        """Refuse what HAProxy cannot do; one that does not answer gets it later."""
        asked = split.spec.model_copy(update={"override": override})
        plan = (await self._controller.look(replace(split, spec=asked))).plan
        if plan is not None and plan.blocked is not None:
            raise ConflictError(*plan.blocked)

    def _split(self, service: str) -> AnyResource:
        if self._store.state.get(split_key(service)) is None:
            self._find(Key("Service", service))
            raise UnknownObjectError(f"Service/{service} has no backend: no traffic of HAProxy's goes to it")
        split = self._find(split_key(service))
        if split.orphaned_since is not None:
            raise UnknownObjectError(f"{split.key} is given up: its service has no backend any more")
        return split

    def _find(self, key: Key) -> AnyResource:
        resource = self._store.state.get(key)
        if resource is None:
            there = ", ".join(each.key.name for each in self._store.state.list(key.kind)) or "none"
            raise UnknownObjectError(f"there is no {key}; of this kind there is {there}")
        return resource


def _refuse_other_attempt(release: AnyResource, seen: int | None) -> None:
    """Refuse a wish that is about an attempt that is over: two people may want opposite things."""
    if seen is None:
        return
    attempt = release.status.attempt if isinstance(release.status, ReleaseStatus) else None
    if attempt is None or attempt.number != seen:
        now = f"attempt {attempt.number}" if attempt is not None else "no attempt"
        raise ConflictError("OtherAttempt", f"{release.key} is at {now} by now, not at {seen}", "look again")
