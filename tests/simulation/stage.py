"""A stage for releases in virtual time: a platform with users, and a daemon that comes and goes."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from prometheus_client import CollectorRegistry

from crds.meta import ConditionType, Key, Mode
from crds.release import Attempt, Phase, ReleaseMemo, ReleaseSpec, ReleaseStatus
from crds.service import Color, ServiceSpec, split_key
from daemon.engine.controller import Controller
from daemon.store.database import Database, Statement
from daemon.store.operations import Event, Operation, Orphan
from daemon.store.state import State
from daemon.store.store import Changed, Store
from daemon.web.wishes import ReleaseWish, Wishes
from metrics.engine import EngineMetrics
from reconcilers.contract import AnyResource, Request
from reconcilers.servers import Server
from tests.fakes.haproxy import FakeHaproxy
from tests.simulation.crowd import Application, Users
from tests.simulation.ports import InlineExecutor, SeededRandom
from tests.simulation.release_world import (
    RELEASE,
    ReleaseWorld,
    declared,
    release_spec,
    service_name,
    service_spec,
)

GATEWAY: Final = Key("Service", service_name(0))
OLD, NEW, NEWER = "1.0.0", "1.1.0", "1.2.0"
_STEP_S: Final = 0.25
_ENDED: Final = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.ROLLED_BACK})


class FullDisk(Database):
    """A database that takes nothing while its disk is full."""

    is_full = False

    def copy(self) -> "FullDisk":
        """Return what a backup would have."""
        other = FullDisk(":memory:")
        self._connection.backup(other._connection)
        return other

    def write(self, statements: Iterable[Statement]) -> None:
        if self.is_full:
            raise sqlite3.OperationalError("database or disk is full")
        super().write(statements)


@dataclass
class Daemon:
    """One process."""

    store: Store
    controller: Controller
    running: asyncio.Task[None]


@dataclass
class Stage:
    """A platform and its daemon. Roles are those of the first release: ``live`` is stable at its start."""

    world: ReleaseWorld
    live: Color
    group: asyncio.TaskGroup
    database: FullDisk = field(default_factory=lambda: FullDisk(":memory:"))
    daemon: Daemon | None = None
    phases: list[Phase] = field(default_factory=list)
    """Phases of all attempts, each time one was entered."""
    events: list[Event] = field(default_factory=list)
    destroyed_in_use: list[int] = field(default_factory=list)
    shares: list[tuple[int, int]] = field(default_factory=list)
    """Blue's and green's weights for new clients on the first node, after each commit that changed them."""

    @property
    def users(self) -> Users:
        return self.world.users

    @property
    def haproxy(self) -> FakeHaproxy:
        return self.world.haproxy

    @property
    def store(self) -> Store:
        assert self.daemon is not None, "the daemon is stopped"
        return self.daemon.store

    @property
    def state(self) -> State:
        return self.store.state

    @property
    def release(self) -> AnyResource:
        return self.state.objects[RELEASE]

    @property
    def status(self) -> ReleaseStatus:
        status = self.release.status
        return status if isinstance(status, ReleaseStatus) else ReleaseStatus()

    @property
    def attempt(self) -> Attempt:
        """The running attempt, or the last one."""
        assert self.status.attempt is not None, "no attempt was begun"
        return self.status.attempt

    @property
    def memo(self) -> ReleaseMemo:
        memo = self.release.memo
        assert isinstance(memo, ReleaseMemo)
        return memo

    @property
    def end(self) -> tuple[Phase, str | None]:
        """Phase and reason of the attempt."""
        return self.attempt.phase, self.attempt.reason

    @property
    def says(self) -> str:
        """What the release says of itself."""
        return self.condition(ConditionType.READY)

    def condition(self, kind: ConditionType) -> str:
        found = self.release.condition(kind)
        assert found is not None
        return f"{found.status.value} {found.reason}: {found.message}"

    def server(self, color: Color, number: int = 0) -> Server:
        """Return what HAProxy has of a colour."""
        return self.haproxy.nodes[number].state["api_backend", color.value]

    def share(self, number: int = 0) -> tuple[int, int]:
        """Return stable's and the candidate's weight for new clients."""
        return self.server(self.live, number).share, self.server(self.live.other, number).share

    def reasons(self, *, warnings: bool = False) -> list[str]:
        """Return the reasons of the release's events."""
        return [each.reason for each in self.events if each.key == RELEASE and (each.warning or not warnings)]

    def version(self, version: str, **behaviour: object) -> None:
        """Let a version behave so from now on."""
        self.world.versions[version] = Application(**behaviour)  # type: ignore[arg-type]  # fields of a test

    async def start(self) -> None:
        """Start the daemon."""
        assert self.daemon is None
        store = Store(self.database, InlineExecutor())
        metrics = EngineMetrics(CollectorRegistry(), version="sim", kinds=(), systems={})
        controller = Controller(
            store,
            self.world.reconcilers(),
            self.world.world.clock,
            SeededRandom(self.world.runs),
            metrics,
            mode=Mode.ENFORCE,
        )
        store.listen(self._heard)
        self.daemon = Daemon(store, controller, self.group.create_task(controller.run()))
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """End the daemon in good order."""
        assert self.daemon is not None
        self.daemon.controller.drain()
        await self.daemon.running
        self.daemon = None

    async def kill(self) -> None:
        """End the daemon at once."""
        assert self.daemon is not None
        self.daemon.running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.daemon.running
        self.daemon = None

    def forget(self) -> None:
        """Lose the state directory while the daemon is stopped."""
        assert self.daemon is None
        self.database = FullDisk(":memory:")

    def _heard(self, changes: Sequence[Changed], events: Sequence[Event]) -> None:
        self.events += events
        found = self.server(Color.BLUE).share, self.server(Color.GREEN).share
        if not self.shares or self.shares[-1] != found:
            self.shares.append(found)
        for change in changes:
            if change.key == RELEASE and change.after is not None:
                self._entered(change.before, change.after)

    def _entered(self, before: AnyResource | None, after: AnyResource) -> None:
        old, new = (each.status if each is not None else None for each in (before, after))
        if not isinstance(new, ReleaseStatus) or new.attempt is None:
            return
        was = old.attempt if isinstance(old, ReleaseStatus) else None
        if was is None or (was.number, was.phase, was.step) != (
            new.attempt.number,
            new.attempt.phase,
            new.attempt.step,
        ):
            self.phases.append(new.attempt.phase)

    async def commit(self, *operations: Operation) -> None:
        await self.store.commit(operations)

    async def declare(self, *specs: ServiceSpec | ReleaseSpec) -> None:
        """Put files into the directory: one release, services in their order."""
        services = [spec for spec in specs if isinstance(spec, ServiceSpec)]
        await self.commit(
            *(declared(Key("Service", service_name(at)), spec) for at, spec in enumerate(services)),
            *(declared(RELEASE, spec) for spec in specs if isinstance(spec, ReleaseSpec)),
        )

    async def begin(self, version: str = NEW, services: int = 1, **fields: object) -> None:
        """Ask for a release, and wait until its attempt has begun."""
        await self.declare(release_spec(version, services, **fields))
        await self.until(lambda: self.status.attempt is not None and self.attempt.version == version)

    def watch_destruction(self) -> None:
        """Take down which containers of the first service are destroyed while they have users."""
        colors = {service_spec().colors[color].ctid: color for color in Color}

        def check(ctid: int) -> None:
            # A reload opens all servers until the split is seen again, a second later.
            is_settled = self.haproxy.nodes[0].uptime_s > 3
            has_split = split_key(service_name(0)) in self.state.objects
            if is_settled and has_split and ctid in colors and self.server(colors[ctid]).share:
                self.destroyed_in_use.append(ctid)

        self.world.world.proxmox.before_destroying = check

    def switch_off(self, color: Color) -> None:
        """Let a colour's container of the first service stop by itself."""
        now = self.world.world.clock.now().timestamp()
        self.world.cluster.stop_by_hand(service_spec().colors[color].ctid, now)

    async def lose_file(self, key: Key = RELEASE) -> None:
        """Let a file vanish."""
        await self.commit(Orphan(key, self.world.world.clock.now()))

    async def until(self, condition: Callable[[], bool], within: timedelta = timedelta(minutes=20)) -> None:
        """Let time pass until *condition*; AssertionError if it never comes."""
        for _ in range(round(within.total_seconds() / _STEP_S)):
            if condition():
                return
            await asyncio.sleep(_STEP_S)
        said = f"{self.end} {self.says}" if RELEASE in self.state.objects else "there is no release"
        raise AssertionError(f"not within {within}: {said}")

    async def phase(self, *phases: Phase, within: timedelta = timedelta(minutes=20)) -> Attempt:
        """Let time pass until the attempt is in one of *phases*."""
        await self.until(lambda: self.status.attempt is not None and self.attempt.phase in phases, within)
        return self.attempt

    async def ended(self, within: timedelta = timedelta(hours=2)) -> tuple[Phase, str | None]:
        """Let time pass until the attempt has ended; return how."""
        await self.phase(*_ENDED, within=within)
        return self.end

    async def hold(self, reason: str, within: timedelta = timedelta(minutes=20)) -> Attempt:
        """Let time pass until something holds the attempt."""

        def is_held() -> bool:
            return self.attempt.hold is not None and self.attempt.hold.reason == reason

        await self.until(is_held, within)
        return self.attempt

    async def after(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    async def ask(self, verb: str, *, force: bool = False, actor: str = "anna") -> Request:
        """Ask something of the release as psactl does, and return it with its answer."""
        number = await self.wishes.ask("psa-suite", ReleaseWish(verb, "because", force=force), actor)

        def is_answered() -> bool:
            return self._request(number).answer is not None

        await self.until(is_answered, timedelta(seconds=10))
        return self._request(number)

    def _request(self, number: int) -> Request:
        return next(each for each in self.release.requests if each.id == number)

    @property
    def wishes(self) -> Wishes:
        """What people can ask of the daemon."""
        assert self.daemon is not None
        return Wishes(self.store, self.daemon.controller, self.world.world.clock)

    def no_user_is_lost(self) -> None:
        """Nobody was left without a server, not for a moment."""
        assert self.haproxy.blackouts == []
        assert self.users.lost == 0


@contextlib.asynccontextmanager
async def a_stage(
    live: Color, *, services: int = 1, nodes: int = 1, rate: int = 20, first: bool = False, **service: object
) -> AsyncIterator[Stage]:
    """Return a platform with 1.0.0 live in *live*, its users and a daemon; *first* is an empty one."""
    world = ReleaseWorld.of(nodes)
    async with asyncio.TaskGroup() as group:
        stage = Stage(world, live, group)
        crowd = group.create_task(world.drive())
        await stage.start()
        initial = {} if first else {"initial": {"color": live.value, "version": OLD}}
        specs = [
            service_spec(number, **{"initial": None, **initial, **service}) for number in range(services)
        ]
        await stage.declare(*specs)
        keys = [Key("Service", service_name(number)) for number in range(services)]
        if not first:
            await stage.until(lambda: all(stage.state.objects[key].is_ready() for key in keys))
        stage.watch_destruction()
        world.users.rate, world.users.lost = rate, 0
        world.users.served.clear()
        stage.haproxy.blackouts.clear()
        stage.shares.clear()
        try:
            yield stage
            assert stage.destroyed_in_use == []
        finally:
            crowd.cancel()
            if stage.daemon is not None:
                await stage.kill()
