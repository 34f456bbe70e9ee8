"""What people may ask of the running daemon, whichever door they come through."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from crds.freeze import FREEZE, freeze_at
from crds.meta import ConditionType, Key, Mode, Truth
from daemon.engine.controller import Controller
from daemon.engine.feed import Feed
from daemon.engine.workset import Priority
from daemon.ports import Clock
from daemon.store.operations import Assign, Record, Resume, Suspend
from daemon.store.store import Store
from daemon.web.answers import Object, event_answer, instant, object_answer, plan_answer, problem_answer
from reconcilers.contract import AnyResource

#: Events about the daemon itself are filed under this key.
DAEMON: Final = Key("Daemon", "psa-reconciler")
CATCH_UP_S: Final = 5.0
"""How long the directory may take to be read."""
FIRST_LOOK_S: Final = 1.0
"""How long a changed object may take to be looked at, and its children to be told."""


class UnknownObjectError(Exception):
    """There is no such object; the text says which are there."""


class Console:
    """Reads of the store, and the few things that a person may tell the engine; each of those is an event."""

    def __init__(
        self,
        store: Store,
        controller: Controller,
        feed: Feed,
        clock: Clock,
        *,
        version: str,
        systems: Mapping[str, str],
        paths: Mapping[str, Path],
    ) -> None:
        """Take *systems*, each endpoint's type, and *paths*, where the state and the settings are."""
        self._store = store
        self._controller = controller
        self._feed = feed
        self._clock = clock
        self._version = version
        self._systems = systems
        self._paths = {name: str(path.absolute()) for name, path in paths.items()}
        self._started_at = clock.now()

    @property
    def is_ready(self) -> bool:
        """Whether the directory was read once since the start."""
        return self._feed.last is not None

    def status(self) -> Object:
        """Return how the daemon is, and where it works."""
        objects = self._store.state.objects.values()
        return {
            "version": self._version,
            "mode": self._controller.mode.value,
            "effectiveModeText": self._mode_text(),
            "startedAt": instant(self._started_at),
            "paths": {**self._paths},
            "source": self._source(),
            "objects": {"total": len(objects), "ready": sum(resource.is_ready() for resource in objects)},
            "endpoints": [self._endpoint(name) for name in sorted(self._systems)],
            "queueDepth": self._controller.queue_depth(),
            "commits": self._store.commits,
            "freeze": self._freeze(),
        }

    def _freeze(self) -> Object | None:
        found = freeze_at(self._store.state.value(FREEZE), self._clock.now())
        if found is None:
            return None
        return {"until": instant(found.until), "reason": found.reason, "actor": found.actor}

    def _endpoint(self, name: str) -> Object:
        up, breaker = self._controller.is_endpoint_up(name), self._controller.breaker_is_open(name)
        return {"name": name, "system": self._systems[name], "up": up, "breaker": breaker}

    def _mode_text(self) -> str:
        if self._controller.mode is Mode.ENFORCE:
            return "Enforce: differences are removed"
        by = "the settings" if self._controller.configured_mode is Mode.OBSERVE else "an operator"
        return f"Observe, by {by}: nothing is changed"

    def _source(self) -> Object:
        last = self._feed.last
        if last is None:
            return {"healthy": False, "message": "not read yet", "files": 0, "problems": []}
        return {
            "healthy": last.unreadable is None,
            "message": last.unreadable or "",
            "files": last.files,
            "problems": [problem_answer(problem) for problem in last.problems],
        }

    async def catch_up(self) -> Object:
        """Read the directory now, let what it changed be looked at, and return how the source is.

        ``isCurrent`` is false if that took too long: what is in force may be older than the files.
        """
        is_current = True
        try:
            async with asyncio.timeout(CATCH_UP_S):
                await self._feed.catch_up()
        except TimeoutError:
            is_current = False
        else:
            await self._wait_first_looks()
        return {"isCurrent": is_current, "source": self._source()}

    async def _wait_first_looks(self) -> None:
        """Return when owners have told their children what their changed files ask for, a second at most."""
        news = asyncio.Event()
        stop = self._store.listen(lambda _changes, _events: news.set())
        try:
            async with asyncio.timeout(FIRST_LOOK_S):
                while any(map(_is_unseen, self._store.state.objects.values())):
                    await news.wait()
                    news.clear()
        except TimeoutError:
            pass  # somebody's endpoint is slow: no reason to keep everybody waiting
        finally:
            stop()

    def objects(self, kind: str | None) -> list[Object]:
        """Return all objects, or those of one kind, by kind and name."""
        state = self._store.state
        chosen = sorted(key for key in state.objects if kind in {None, key.kind})
        return [self._object(state.objects[key]) for key in chosen]

    def object(self, key: Key) -> Object:
        """Return one object; raise UnknownObjectError."""
        return self._object(self._find(key))

    def _object(self, resource: AnyResource) -> Object:
        state = self._store.state
        suspension = state.suspension(resource.key, self._clock.now())
        return object_answer(resource, state.children(resource.key), suspension)

    def _find(self, key: Key) -> AnyResource:
        resource = self._store.state.get(key)
        if resource is None:
            raise UnknownObjectError(f"there is no {key}")
        return resource

    def events(self, key: Key | None, *, after: int, limit: int) -> list[Object]:
        """Return the newest *limit* events above id *after*, oldest first."""
        return [event_answer(event) for event in self._store.events(key, after=after, limit=limit)]

    async def plan(self, keys: Iterable[Key] | None) -> list[Object]:
        """Observe and plan afresh, one object after the other; change nothing."""
        chosen = sorted(self._store.state.objects) if keys is None else list(keys)
        found = [self._find(key) for key in chosen]
        return [plan_answer(resource, await self._controller.look(resource)) for resource in found]

    async def reconcile(self, key: Key, actor: str) -> None:
        """Look at an object now, whatever back-off or quarantine says."""
        self._find(key)
        await self._store.commit([self._said(key, actor, "ReconcileRequested", "look again now")])
        self._controller.wake(key, Priority.CHANGE)

    async def set_mode(self, mode: Mode, actor: str) -> None:
        """Set the operators' mode; the stricter of it and the settings' one counts."""
        said = self._said(DAEMON, actor, "ModeSet", f"mode {mode.value}")
        await self._store.commit([Assign("mode", mode.value), said])
        self._controller.wake_all()

    async def suspend(self, key: Key, until: datetime | None, reason: str, actor: str) -> None:
        """Leave an object alone until then, or until resumed."""
        self._find(key)
        end = f" until {instant(until)}" if until else ""
        said = self._said(key, actor, "Suspended", f"{reason}{end}")
        await self._store.commit([Suspend(key, reason, actor, until), said])
        self._controller.wake(key, Priority.CHANGE)

    async def resume(self, key: Key, actor: str) -> None:
        """Reconcile an object again."""
        self._find(key)
        await self._store.commit([Resume(key), self._said(key, actor, "Resumed", "reconciled again")])
        self._controller.wake(key, Priority.CHANGE)

    def _said(self, key: Key, actor: str, reason: str, message: str) -> Record:
        return Record(key, self._clock.now(), reason, message, actor=actor)


def _is_unseen(resource: AnyResource) -> bool:
    """Whether a file changed the object, and no look since says how it is or why it cannot be seen."""
    synced = resource.condition(ConditionType.SYNCED)
    is_blind = synced is not None and synced.status is Truth.UNKNOWN
    is_from_file = resource.owner is None and resource.orphaned_since is None
    return is_from_file and resource.observed_generation < resource.generation and not is_blind
