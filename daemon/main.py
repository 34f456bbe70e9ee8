"""The daemon's parts list, and the order of start and stop; daemon/kinds.py has the list of kinds."""

import argparse
import asyncio
import contextlib
import faulthandler
import importlib.metadata
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, disable_created_metrics

from crds.meta import Mode
from daemon.engine.controller import Controller
from daemon.engine.feed import Feed
from daemon.heartbeat import Heartbeat
from daemon.kinds import Transports, build_reconcilers, build_transports
from daemon.logs import blotted, set_up_logs
from daemon.notices import Notices
from daemon.notify import Notifier
from daemon.ports import SystemClock, SystemRandom
from daemon.settings import (
    DEFAULT_FILE,
    OVERRIDES,
    Settings,
    SettingsError,
    load_settings,
    meaning_of,
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
from metrics.engine import EngineMetrics
from reconcilers.transports.notice_webhook import NoticeWebhook

log = structlog.stdlib.get_logger()

VERSION: Final = importlib.metadata.version("psa-reconciler")
GRACE_S: Final = 30.0
"""How long passes under way may take to end after SIGTERM."""


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
    settings: Settings, config: Path, store: Store, transports: Transports, registry: CollectorRegistry
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
    source = open_source(settings.source.directory, clock, ownership, systems, hide=blotted)
    feed = Feed(source, store, clock, random, metrics)
    heartbeat = Heartbeat(clock, controller, metrics, notifier.alive)
    paths = {"state": settings.state, "settings": config}
    console = Console(store, controller, feed, clock, version=VERSION, systems=systems, paths=paths)
    wishes = Wishes(store, controller, clock)
    unready = "the directory is not read yet"
    alerts = AlertDoor(store, clock, AlertMetrics(registry), settings.alert_access())
    api = Api(
        console,
        wishes,
        store,
        metrics.exposition,
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
    # A second series for each counter and histogram, which nobody asks for.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    transports = build_transports(settings, registry)
    listener = listen_tcp(settings.api.listen)
    async with opened_store(settings) as store:
        daemon = build_daemon(settings, config, store, transports, registry)
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
        prog="psa-reconciler",
        description="Reconcile a platform on Proxmox LXC, HAProxy and data services with its files.",
        epilog="A flag wins over its variable, that over the settings' file, and that over the default.",
    )
    default = Path(os.environ.get("PSA_CONFIG", DEFAULT_FILE))
    told = f"The settings' file; also PSA_CONFIG. Default {DEFAULT_FILE}."
    parser.add_argument("--config", type=Path, default=default, metavar="FILE", help=told)
    parser.add_argument("--version", action="version", version=VERSION, help="Print the version and exit.")
    for name in OVERRIDES:
        parser.add_argument(f"--{name}", dest=name, metavar="VALUE", help=meaning_of(name))
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
