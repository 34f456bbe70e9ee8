"""The daemon's parts list: the only module that names kinds, transports and the order of start and stop."""

import argparse
import asyncio
import contextlib
import faulthandler
import functools
import importlib.metadata
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from crds.meta import Mode
from crds.release import Phase, Trigger
from daemon.engine.controller import Controller
from daemon.engine.feed import Feed
from daemon.engine.passes import AnyReconciler
from daemon.heartbeat import Heartbeat
from daemon.logs import blotted, set_up_logs
from daemon.notices import Notices
from daemon.notify import Notifier
from daemon.ports import Clock, Random, SystemClock, SystemRandom
from daemon.programs import refuse_program
from daemon.settings import (
    DEFAULT_FILE,
    OVERRIDES,
    HaproxyEndpoint,
    ProxmoxEndpoint,
    Settings,
    SettingsError,
    load_settings,
)
from daemon.sources.ownership import Ownership
from daemon.sources.watch import DirectorySource, open_source
from daemon.store.codec import UnreadableRowError
from daemon.store.database import Database, NewerSchemaError
from daemon.store.lock import DirectoryLock, HeldError
from daemon.store.store import Store, WriterThread
from daemon.web.alert_door import AlertDoor
from daemon.web.console import Console
from daemon.web.liveness import listen_tcp
from daemon.web.server import Api, serving
from daemon.web.wishes import Wishes
from metrics.alerts import AlertMetrics
from metrics.backends import BackendMetrics
from metrics.engine import EngineMetrics
from metrics.hooks import HookMetrics
from metrics.releases import ReleaseMetrics
from metrics.responses import ResponseMetrics, Times
from metrics.traffic import TrafficMetrics
from reconcilers.balancer.reconciler import BalancerReconciler
from reconcilers.container.client import ProxmoxContainers
from reconcilers.container.reconciler import ContainerReconciler
from reconcilers.release.client import ReportFolder
from reconcilers.release.observe import Outside
from reconcilers.release.reconciler import ReleaseReconciler
from reconcilers.response_times import BUCKETS_MS, Histogram, ResponseTimes
from reconcilers.service.reconciler import ServiceReconciler
from reconcilers.shelter import Shelter
from reconcilers.split.reconciler import SplitReconciler
from reconcilers.transports.haproxy import HaproxyTransport
from reconcilers.transports.haproxy_endpoints import HaproxyEndpoints
from reconcilers.transports.haproxy_log import HaproxyLog
from reconcilers.transports.hooks import HookRunner
from reconcilers.transports.http_probe import HttpProbe
from reconcilers.transports.notice_webhook import NoticeWebhook
from reconcilers.transports.proxmox import ProxmoxTransport

log = structlog.stdlib.get_logger()

VERSION: Final = importlib.metadata.version("psa-reconciler")
GRACE_S: Final = 30.0
"""How long passes under way may take to end after SIGTERM."""


@dataclass(frozen=True, slots=True)
class Transports:
    """Connections to the outside systems, by the name of their endpoint."""

    proxmox: Mapping[str, ProxmoxTransport]
    haproxy: HaproxyEndpoints
    hooks: HookRunner
    http: HttpProbe
    times: ResponseTimes
    logs: Sequence[HaproxyLog]

    async def open(self) -> None:
        """Begin to listen to logs; end what a daemon that was killed left behind. Raises OSError."""
        for each in self.logs:
            each.open()
        await self.hooks.sweep()

    async def close(self) -> None:
        """Let go of threads and connections."""
        for each in self.logs:
            each.close()
        await self.hooks.close()
        await self.http.close()
        for transport in self.proxmox.values():
            transport.close()


def build_transports(settings: Settings, registry: CollectorRegistry) -> Transports:
    """Make a transport for each endpoint; raise SettingsError for one that cannot be."""
    proxmox: dict[str, ProxmoxTransport] = {}
    haproxy: dict[str, HaproxyTransport] = {}
    files: dict[str, Sequence[Path]] = {}
    for name, endpoint in settings.endpoints.items():
        try:
            match endpoint:
                case ProxmoxEndpoint():
                    proxmox[name] = ProxmoxTransport(
                        name,
                        endpoint.urls,
                        endpoint.token(),
                        fingerprint=endpoint.fingerprint,
                        ca_file=endpoint.ca_file,
                    )
                case HaproxyEndpoint():
                    haproxy[name] = HaproxyTransport(name, endpoint.sockets, ca_file=endpoint.ca_file)
                    files[name] = endpoint.server_state_files
        except (ValueError, OSError) as exc:
            raise SettingsError(f"endpoints.{name}: {exc}") from exc
    edges = HaproxyEndpoints(haproxy, state_files=files)
    times, logs = build_logs(settings, registry)
    return Transports(proxmox, edges, build_hooks(settings, registry), HttpProbe(), times, logs)


def build_logs(settings: Settings, registry: CollectorRegistry) -> tuple[ResponseTimes, Sequence[HaproxyLog]]:
    """Make what takes HAProxy's log, for the endpoints that have one; nothing listens yet."""
    edges = {name: each for name, each in settings.endpoints.items() if isinstance(each, HaproxyEndpoint)}
    addresses = {name: each.log for name, each in edges.items() if each.log is not None}
    clock = SystemClock()
    times = ResponseTimes(addresses, clock.monotonic)
    metrics = ResponseMetrics(registry, addresses, lambda: map(_exported, times.histograms()))
    logs = [
        HaproxyLog(address, times.of(name), clock.monotonic, functools.partial(metrics.lines, name))
        for name, address in addresses.items()
    ]
    return times, logs


def _exported(found: Histogram) -> Times:
    buckets = tuple((bound / 1000, count) for bound, count in zip(BUCKETS_MS, found.counts, strict=True))
    return Times(found.endpoint, found.backend, found.server, buckets, found.answers, found.sum_s)


def build_hooks(settings: Settings, registry: CollectorRegistry) -> HookRunner:
    """Make what runs the programs of the settings; nothing runs yet."""
    return HookRunner(
        [each.hook(name) for name, each in settings.hooks.items()],
        settings.state / "hooks",
        SystemClock(),
        new_mark=SystemRandom().uid,
        refuse=refuse_program,
        metrics=HookMetrics(registry, settings.hooks),
        hide=blotted,
    )


def build_reconcilers(
    settings: Settings, transports: Transports, registry: CollectorRegistry, clock: Clock, random: Random
) -> Mapping[str, AnyReconciler]:
    """Make all kinds."""
    clusters = {name: ProxmoxContainers(transport) for name, transport in transports.proxmox.items()}
    phases, triggers = ([each.value for each in kind] for kind in (Phase, Trigger))
    shelter = Shelter()
    outside = Outside(
        balancers=transports.haproxy,
        clusters=transports.proxmox,
        prober=transports.http,
        hooks=transports.hooks,
        responses=transports.times,
        reports=ReportFolder(settings.state / "reports"),
    )
    return {
        "Container": ContainerReconciler(clusters),
        "LoadBalancer": BalancerReconciler(transports.haproxy),
        "Release": ReleaseReconciler(
            outside,
            ReleaseMetrics(registry, phases=phases, triggers=triggers),
            process=random.uid(),
            monotonic=clock.monotonic,
            now=clock.now,
            shelter=shelter,
        ),
        "Service": ServiceReconciler(transports.haproxy),
        "TrafficSplit": SplitReconciler(
            transports.haproxy,
            TrafficMetrics(registry),
            clock.now,
            backends=BackendMetrics(registry),
            shelter=shelter,
            times=transports.times,
        ),
    }


@contextlib.asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[Store]:
    """Hold the state directory, and its store, while the block runs."""
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o750)
    lock = DirectoryLock(settings.state)
    store = Store(Database(settings.state / "state.db"), WriterThread())
    try:
        yield store
    finally:
        store.close()
        lock.close()


@dataclass(frozen=True, slots=True)
class Daemon:
    """What works together once the store is open."""

    clock: SystemClock
    controller: Controller
    source: DirectorySource
    feed: Feed
    heartbeat: Heartbeat
    alerts: AlertDoor
    api: Api
    metrics: EngineMetrics
    notifier: Notifier
    notices: Notices


def build_daemon(
    settings: Settings, store: Store, transports: Transports, registry: CollectorRegistry
) -> Daemon:
    """Put all parts together; nothing runs yet. Raises SettingsError."""
    clock, random = SystemClock(), SystemRandom()
    systems = {name: endpoint.type for name, endpoint in settings.endpoints.items()}
    reconcilers = build_reconcilers(settings, transports, registry, clock, random)
    metrics = EngineMetrics(registry, version=VERSION, kinds=reconcilers, systems=systems)
    notifier = Notifier(os.environ)
    try:
        ownership = Ownership.of(settings.source.owners, settings.source.groups)
    except ValueError as exc:
        raise SettingsError(f"source: {exc}") from None
    controller = Controller(store, reconcilers, clock, random, metrics, mode=settings.mode)
    source = open_source(settings.source.directory, clock, ownership)
    feed = Feed(source, store, clock, random, metrics)
    heartbeat = Heartbeat(clock, controller, metrics, notifier.alive)
    console = Console(store, controller, feed, clock, version=VERSION, systems=systems)
    wishes = Wishes(store, controller, clock)
    unready = "the directory is not read yet"
    alerts = AlertDoor(store, clock, AlertMetrics(registry), settings.alert_access())
    api = Api(
        console,
        wishes,
        store,
        registry,
        lambda: None if console.is_ready else unready,
        more=alerts.routes,
    )
    url = settings.notify.webhook
    notices = Notices(
        store,
        clock,
        random,
        webhook=NoticeWebhook(url) if url is not None else None,
        hooks=transports.hooks,
        hook=settings.notify.hook,
    )
    return Daemon(clock, controller, source, feed, heartbeat, alerts, api, metrics, notifier, notices)


async def serve(settings: Settings, flags: Mapping[str, str], config: Path) -> None:
    """Run until SIGTERM or SIGINT. SIGHUP reads the settings again and the directory anew."""
    registry = CollectorRegistry()
    transports = build_transports(settings, registry)
    listener = listen_tcp(settings.api.listen)
    async with opened_store(settings) as store:
        daemon = build_daemon(settings, store, transports, registry)
        await transports.open()
        stop = asyncio.Event()
        _on_signals(stop, lambda: _reload(config, flags, daemon))
        log.info("daemon.started", version=VERSION, pid=os.getpid())
        _say_mode(daemon)

        def stuck_for() -> float:
            return daemon.clock.monotonic() - daemon.heartbeat.last_beat

        async with serving(daemon.api, settings.api.socket, settings.api.group, listener, stuck_for):
            await _work(daemon, stop)
        await transports.close()
        await daemon.source.close()
    log.info("daemon.stopped")


async def _work(daemon: Daemon, stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        helpers = [
            group.create_task(daemon.feed.run()),
            group.create_task(daemon.controller.watch_staleness()),
            group.create_task(daemon.heartbeat.beat()),
            group.create_task(_say_ready(daemon)),
            group.create_task(daemon.notices.run()),
            group.create_task(daemon.alerts.run()),
        ]
        running = group.create_task(daemon.controller.run())
        await stop.wait()
        daemon.notifier.stopping(GRACE_S)
        log.info("daemon.stopping")
        daemon.controller.drain()
        for helper in helpers:
            helper.cancel()
        await _drained(running)


async def _drained(running: "asyncio.Task[None]") -> None:
    """Wait for the passes under way; what is not done in time is a crash that the journal can tell."""
    done, _ = await asyncio.wait({running}, timeout=GRACE_S)
    if not done:
        log.warning("drain.overdue", seconds=GRACE_S)
        running.cancel()


async def _say_ready(daemon: Daemon) -> None:
    snapshot = await daemon.feed.wait_first()
    daemon.notifier.ready(snapshot.unreadable or f"{snapshot.files} files read")
    log.info("daemon.ready", version=VERSION)


def _say_mode(daemon: Daemon) -> None:
    mode = daemon.controller.mode
    if mode is Mode.OBSERVE:
        log.warning("mode.observe", meaning="nothing is changed")
    else:
        log.info("mode.enforce")


def _on_signals(stop: asyncio.Event, reload: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)


def _reload(config: Path, flags: Mapping[str, str], daemon: Daemon) -> None:
    """Take mode and log level of the file (the rest needs a restart), or keep the old ones and say why."""
    daemon.notifier.reloading(daemon.clock.monotonic())
    try:
        settings = load_settings(config, flags, os.environ)
    except SettingsError as exc:
        daemon.metrics.reloaded(successful=False)
        log.warning("settings.refused", error=str(exc), meaning="the old settings stay in force")
    else:
        set_up_logs(settings.log.level)
        daemon.controller.configure(settings.mode)
        daemon.metrics.reloaded(successful=True)
        log.info("settings.reloaded")
        _say_mode(daemon)
    daemon.source.request_scan()
    daemon.notifier.ready("settings read again")


def _flags(arguments: Sequence[str]) -> tuple[Path, dict[str, str]]:
    parser = argparse.ArgumentParser(
        prog="psa-reconciler", description="Reconcile a platform on Proxmox LXC."
    )
    parser.add_argument("--config", type=Path, default=Path(os.environ.get("PSA_CONFIG", DEFAULT_FILE)))
    parser.add_argument("--version", action="version", version=VERSION)
    for name in OVERRIDES:
        parser.add_argument(f"--{name}", dest=name)
    found = vars(parser.parse_args(arguments))
    config: Path = found.pop("config")
    return config, {name: value for name, value in found.items() if value is not None}


def main() -> None:
    """Run the daemon; exit 0 after SIGTERM. If it cannot start it says why: 78 needs a person, 1 may pass."""
    # systemd ends a hang by SIGABRT: the journal then has where each thread was.
    faulthandler.enable()
    config, flags = _flags(sys.argv[1:])
    try:
        settings = load_settings(config, flags, os.environ)
        set_up_logs(settings.log.level)
        asyncio.run(serve(settings, flags, config))
    except (SettingsError, HeldError, NewerSchemaError, UnreadableRowError, OSError) as exc:
        sys.stderr.write(f"psa-reconciler: {exc}\n")
        sys.exit(1 if isinstance(exc, HeldError | OSError) else os.EX_CONFIG)


if __name__ == "__main__":
    main()
