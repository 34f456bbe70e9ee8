"""The list of kinds and of what they reach outside systems through: nothing else in the daemon names them."""

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from crds.release import Phase, Trigger
from daemon.data_kinds import DataParts, build_data_kinds
from daemon.engine.passes import AnyReconciler
from daemon.logs import blotted
from daemon.ports import Clock, Random, SystemClock, SystemRandom
from daemon.programs import refuse_program
from daemon.secrets import SecretFiles
from daemon.settings import HaproxyEndpoint, ProxmoxEndpoint, Settings, SettingsError
from metrics.backends import BackendMetrics
from metrics.hooks import HookMetrics
from metrics.releases import ReleaseMetrics
from metrics.responses import ResponseMetrics, Times
from metrics.traffic import TrafficMetrics
from reconcilers.balancer.reconciler import BalancerReconciler
from reconcilers.container.client import ProxmoxContainers
from reconcilers.container.reconciler import ContainerReconciler
from reconcilers.gauges import Gauges
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
from reconcilers.transports.proxmox import ProxmoxTransport


@dataclass(frozen=True, slots=True)
class Transports:
    """Connections to the outside systems, by the name of their endpoint."""

    proxmox: Mapping[str, ProxmoxTransport]
    haproxy: HaproxyEndpoints
    hooks: HookRunner
    http: HttpProbe
    times: ResponseTimes
    logs: Sequence[HaproxyLog]
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What else is to be closed: connections to data services."""

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
        for close in reversed(self.closing):
            await close()
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
                case _:
                    pass  # a data service: daemon/data_kinds.py
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
    secrets = SecretFiles(settings.secrets)
    data = DataParts(settings, registry, clock, random, transports.hooks, secrets, closing=transports.closing)
    clusters = {name: ProxmoxContainers(transport) for name, transport in transports.proxmox.items()}
    phases, triggers = ([each.value for each in kind] for kind in (Phase, Trigger))
    shelter = Shelter()
    return {
        "Container": ContainerReconciler(clusters),
        "LoadBalancer": BalancerReconciler(transports.haproxy),
        "Release": ReleaseReconciler(
            _outside(settings, transports, data.gauges),
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
        **build_data_kinds(data),
    }


def _outside(settings: Settings, transports: Transports, gauges: Gauges) -> Outside:
    return Outside(
        balancers=transports.haproxy,
        clusters=transports.proxmox,
        prober=transports.http,
        hooks=transports.hooks,
        responses=transports.times,
        reports=ReportFolder(settings.state / "reports"),
        gauges=gauges,
    )
