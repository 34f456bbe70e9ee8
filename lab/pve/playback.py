"""Plays the recordings of a real Proxmox VE against the simulator.

`lab.pve.replay` holds the worlds and runs it.
A request is covered when its endpoint is (see `covered`); every covered request counts.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.pve import comparison, recordings, schema, tasks
from lab.pve.cluster import PveCluster
from lab.pve.faults import FailTask
from lab.pve.message import ANONYMOUS, Auth, Request, Response
from lab.pve.recordings import Exchange
from lab.pve.routes import ROUTES

START: Final = 1_795_411_000.0
SECRET: Final = "889d28fa-5c4a-4e60-96eb-4e454d57e49a"  # noqa: S105 - of the recording's token
TIME_SCALE: Final = 0.5
STEP_S: Final = 0.002
# what only the recording's set-up did (proxmox.md 5.4); the tasks are made to fail the same way
ARTEFACT_ANSWERS: Final = (
    "failed to change apparmor profile",  # no AppArmor in that kernel: hot-plug of a mount point refused
    "lxc_usernsexec.c",  # unprivileged containers could not be unpacked in the first runs
    "pressurecpusome",  # 9.2's statistics came from a stub and were null, under names that nobody prints
)
ARTEFACT_EXITS: Final = (
    "command 'systemctl start pve-container@",  # CT 104 never started there
    "lxc-usernsexec",  # unprivileged containers could not be unpacked in the first runs
)
# recorded with a pvestatd that did not report nodes (proxmox.md 5.4: 9.x nodes "unknown")
STUBBED_NODES: Final = frozenset({("9.2", "GET", "/nodes"), ("9.2", "GET", "/cluster/resources")})


@dataclass(slots=True)
class Player:
    """The simulator with the recording's clock and the names that the recording uses."""

    cluster: PveCluster
    now: float
    upids: dict[str, str]
    clock_at: float | None = None

    def follow_clock(self, exchange: Exchange) -> None:
        """Tasks tell when they were started, on a clock of their own."""
        self.now += STEP_S
        recorded = exchange.recorded_at
        if recorded is None:
            return
        if self.clock_at is not None and recorded > self.clock_at:
            self.now = max(self.now, self._last + recorded - self.clock_at)
        self.clock_at, self._last = recorded, self.now

    _last: float = 0.0


Event = Callable[[Player], None]


@dataclass(frozen=True, slots=True)
class Mismatch:
    exchange: Exchange
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    version: str
    recorded: int
    covered: int
    mismatches: tuple[Mismatch, ...]

    @property
    def share(self) -> float:
        return 1 - len(self.mismatches) / self.covered

    def __str__(self) -> str:
        equal = self.covered - len(self.mismatches)
        share = f"{100 * self.share:.1f} %"
        return (
            f"pve replay {self.version}: equal {equal} of {self.covered} ({share}), {self.recorded} recorded"
        )


def covered(version: str, exchange: Exchange) -> bool:
    """Whether the simulator claims this endpoint, by its pattern.

    Besides its own routes: paths that exist nowhere (501) and requests without a valid log-in (401).
    Left out are backups (``restore=1``, ``content=backup``), tasks of other endpoints and what
    proxmox.md 5.4 calls artefacts.
    """
    if (version, exchange.method, exchange.path) in STUBBED_NODES and exchange.params.get("type") != "vm":
        return False
    if "restore" in exchange.params or exchange.params.get("content") == "backup":
        return False
    if any(text in str(exchange.body) for text in ARTEFACT_ANSWERS):
        return False
    named = tasks.UPID.search(exchange.path)
    if named and named["type"] not in tasks.DURATIONS_S:
        return False
    if exchange.status in (401, 501):
        return True
    route = schema.match(version, exchange.method, exchange.path)
    return route is not None and (exchange.method, route.template) in ROUTES


def credentials(cluster: PveCluster, who: str, now: float) -> Auth:
    """Return the log-in behind the name that the recording gives to the caller."""
    root = cluster.log_in("root@pam", now)
    named = {
        "anon": ANONYMOUS,
        "ticket,noCSRF": Auth(ticket=root.ticket),
        "ticket,badCSRF": Auth(ticket=root.ticket, csrf="00000000:nonsense"),
        "badticket": Auth(ticket="PVE:root@pam:00000000::nonsense"),
        "badtoken": Auth(authorization=f"PVEAPIToken=rec@pve!t0={SECRET[::-1]}"),
        "notoken": Auth(authorization=f"PVEAPIToken=rec@pve!nope={SECRET}"),
        "garbagetoken": Auth(authorization="PVEAPIToken=garbage"),
        "colon sep": Auth(authorization=f"PVEAPIToken=rec@pve!t0:{SECRET}"),
    }
    token = re.match(r"rec@pve!t\d", who)
    return Auth(authorization=f"PVEAPIToken={token[0]}={SECRET}") if token else named.get(who, root)


def _via(who: str) -> str:
    """Name the node that the request was sent to, "" for the first."""
    direct = re.match(r"(pve\d) direct|10\.77\.0\.1(\d)", who)
    return "" if direct is None else direct[1] or f"pve{direct[2]}"


def _request(player: Player, exchange: Exchange) -> Request:
    cluster, path = player.cluster, exchange.path
    named = re.search(r"UPID:[^/]+", path)
    if named:
        path = path.replace(named[0], player.upids.get(named[0]) or _same_task(cluster, named[0]))
    params = dict(exchange.params)
    if str(params.get("password", "")).startswith("PVE:"):
        params["password"] = cluster.log_in("root@pam", player.now).ticket
    digest = params.get("digest")
    vmid = re.search(r"/lxc/(\d+)/", path)
    if digest and vmid and not str(digest).startswith("0000"):
        params["digest"] = _digest(player, int(vmid[1]))
    auth = credentials(cluster, exchange.who, player.now)
    return Request(exchange.method, path, params, auth, _via(exchange.who))


def _digest(player: Player, vmid: int) -> str:
    container = player.cluster.container(vmid)
    node = container.node if container is not None else "pve1"
    root = player.cluster.log_in("root@pam", player.now)
    answer = player.cluster.handle(Request("GET", f"/nodes/{node}/lxc/{vmid}/config", auth=root), player.now)
    return str(answer.data["digest"]) if isinstance(answer.data, Mapping) else ""


def _same_task(cluster: PveCluster, upid: str) -> str:
    """Return the newest task of that node, type, object and user: some started unseen by the recorder."""
    wanted = comparison.masked(upid)
    found = (task.upid for task in reversed(cluster.tasks()) if comparison.masked(task.upid) == wanted)
    return next(found, upid)


def play(version: str, path: Path, player: Player, events: Mapping[int, Event]) -> Report:
    """Send the covered requests in order; *events* happen before the request of their line."""
    exchanges = recordings.read(path)
    waiting = sorted(events)
    mismatches: list[Mismatch] = []
    count = 0
    for exchange in exchanges:
        while waiting and waiting[0] <= exchange.line:
            events[waiting.pop(0)](player)
        player.follow_clock(exchange)
        if not covered(version, exchange):
            continue
        count += 1
        text = _played(player, exchange)
        if text:
            mismatches.append(Mismatch(exchange, text))
    return Report(version, len(exchanges), count, tuple(mismatches))


def _played(player: Player, exchange: Exchange) -> str:
    """Send one request; returns how the answer differs, "" if it does not."""
    cluster = player.cluster
    if any(text in exchange.exit for text in ARTEFACT_EXITS):
        kind = "vzstart" if exchange.path.endswith("/start") else "vzcreate"
        cluster.add_fault(FailTask(kind, exchange.exit), player.now)
    response = cluster.handle(_request(player, exchange), player.now)
    player.now += response.delay_s
    found = _difference(response, exchange)
    if found or not isinstance(response.data, str) or not isinstance(exchange.body, dict):
        return found
    upid = str(exchange.body.get("data"))
    player.upids[upid] = response.data
    if not exchange.exit:
        return ""
    task = tasks.find(cluster.world, response.data, response.data.split(":")[1])
    if task is None:
        return "no such task"
    player.now = max(player.now, task.ends_at)
    cluster.advance(player.now)
    same = comparison.masked(task.exitstatus) == comparison.masked(exchange.exit)
    return "" if same else f"the task ends {task.exitstatus!r} instead of {exchange.exit!r}"


def _difference(response: Response, exchange: Exchange) -> str:
    if response.status != exchange.status:
        return f"answers {response.status} {response.reason!r} {response.body}"
    if comparison.masked(response.reason) != comparison.masked(exchange.reason):
        return f"says {response.reason!r}"
    return comparison.difference(response.body, exchange.body)
