"""Releases for tests: what is seen of them in each phase, and plans over that."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

from crds.balancer import Override, ServerShare, ServerState, TrafficSplitSpec
from crds.container import ContainerSpec, ContainerStatus
from crds.meta import Condition, ConditionType, Truth
from crds.release import Attempt, Hold, HoldExit, Member, Phase, ReleaseMemo, ReleaseSpec, ReleaseStatus
from crds.service import Color, ServiceSpec, ServiceStatus, container_annotations
from reconcilers.contract import AnyResource, Note, Plan, Request, Resource
from reconcilers.counters import CountedNode, CountedServer, Counters
from reconcilers.release.beginning import fingerprint
from reconcilers.release.model import (
    Preflight,
    Probe,
    ReleaseAction,
    Room,
    SeenMember,
    SeenRelease,
    Site,
    Well,
)
from reconcilers.release.plan import plan_release
from reconcilers.servers import Backend, Health, Node, NodeDown, Server
from tests.builders import START, a_resource
from tests.simulation.release_world import release_spec, service_name, service_spec

GATEWAY = service_name(0)
CRM = service_name(1)
OLD, NEW = "1.0.0", "1.1.0"
PROCESS = "this run"
WELL = Probe(Well.YES, "it is well")
ILL = Probe(Well.NO, "it answers 503")
SILENT = Probe(Well.SILENT, "connection refused")
MARK = f"psa-suite.{'0123'}.1"


def conditions(*, ready: bool, stalled: str = "", message: str = "as it is") -> tuple[Condition, ...]:
    """Return what a pass would have said."""
    truth = Truth.TRUE if ready else Truth.FALSE
    said = [Condition(ConditionType.READY, truth, "Said", message, START)]
    if stalled:
        said.append(Condition(ConditionType.STALLED, Truth.TRUE, stalled, message, START))
    return tuple(said)


def looked_at(resource: AnyResource, *, ready: bool = True, **said: Any) -> Any:
    """Return an object as its own last pass left it."""
    return replace(
        resource, observed_generation=resource.generation, conditions=conditions(ready=ready, **said)
    )


def a_service(number: int = 0, live: Color | None = Color.BLUE, **fields: object) -> Resource[ServiceSpec]:
    spec = service_spec(number, **fields)
    status = ServiceStatus(live=live.value if live is not None else None)
    made = a_resource(spec, service_name(number), "Service", status=status)
    return cast("Resource[ServiceSpec]", looked_at(made))


def a_slot(
    number: int,
    color: Color,
    version: str = OLD,
    *,
    mark: str | None = None,
    ready: bool = True,
    state: str = "running",
    live: bool | None = None,
    **said: Any,
) -> Resource[ContainerSpec]:
    """Return a colour's container."""
    service, name = service_spec(number), service_name(number)
    spec = service.container_spec(name, color, version, incarnation=mark)
    made = a_resource(
        spec,
        f"{name}-{color.value}",
        annotations=container_annotations(name, color, version, live=live),
        status=ContainerStatus(state=state, recipe="psa-r-0123456789ab"),
    )
    return cast("Resource[ContainerSpec]", looked_at(made, ready=ready, **said))


def a_split(
    number: int,
    candidate: Color,
    percent: int,
    *,
    ready: bool = True,
    loser: str = "maint",
    override: Override | None = None,
    **said: Any,
) -> Resource[TrafficSplitSpec]:
    """Return a split that gives the candidate so much."""
    parts = {candidate: percent, candidate.other: 100 - percent}
    blue, green = (
        ServerShare(
            server=color.value,
            weight=parts[color],
            state=ServerState.READY if parts[color] else ServerState(loser),
        )
        for color in Color
    )
    spec = service_spec(number).split_spec(service_name(number), blue, green, override)
    made = a_resource(spec, service_name(number), "TrafficSplit")
    return cast("Resource[TrafficSplitSpec]", looked_at(made, ready=ready, **said))


def counted(
    requests: Mapping[Color, int] = {},
    *,
    errors: Mapping[Color, int] = {},
    sessions: Mapping[Color, int] = {},
    down: Color | None = None,
) -> tuple[CountedNode | NodeDown, ...]:
    """Return one node's counters."""
    servers = tuple(
        CountedServer(
            color.value,
            Health.DOWN if color is down else Health.UP,
            Counters(requests.get(color, 0), errors.get(color, 0), 0, 0, 0, 0, sessions.get(color, 0), 0),
        )
        for color in Color
    )
    return (CountedNode("edge", "unix:///run/edge.sock", 1001, servers),)


def a_node(
    *, addresses: Mapping[Color, str] | None = None, admin: bool = True, algorithm: str = "roundrobin"
) -> Node:
    where = addresses or {Color.BLUE: "10.0.20.10:3000", Color.GREEN: "10.0.20.110:3001"}
    servers = tuple(Server(each.value, where[each], 100, 100, 0, Health.UP) for each in where)
    backend = Backend("api_backend", algorithm, servers)
    return Node("edge", "unix:///run/edge.sock", 1001, "2.6.12", 3600, admin, (backend,))


def a_site(**fields: Any) -> Site:
    """Return a cluster with room, with all templates."""
    gibibyte = 1024**3
    nodes = ("pve1", "pve2")
    templates = frozenset(
        (node, f"local:vztmpl/{service_name(number)}_{NEW}_amd64.tar.zst")
        for node in nodes
        for number in range(3)
    )
    given: dict[str, Any] = {
        "rooms": {node: Room(node, is_online=True, memory_free=64 * gibibyte) for node in nodes},
        "storage_free": {(node, "local"): 500 * gibibyte for node in nodes},
        "templates": templates,
    }
    return Site(**(given | fields))


@dataclass
class Scene:
    """A release of one service or more, and how it looks; each test changes what it is about.

    ``live`` is the stable colour at the attempt's start; None is a first release.
    """

    phase: Phase = Phase.PENDING
    live: Color | None = Color.BLUE
    services: int = 1
    spec: Mapping[str, object] = field(default_factory=dict)
    attempt: Mapping[str, object] = field(default_factory=dict)
    memo: Mapping[str, object] = field(default_factory=dict)
    status: Mapping[str, object] = field(default_factory=dict)
    release: Mapping[str, object] = field(default_factory=dict)
    members: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
    seen: Mapping[str, object] = field(default_factory=dict)
    now: datetime = START
    version: str = NEW

    @property
    def candidate(self) -> Color:
        return self.live.other if self.live is not None else Color.BLUE

    def roles(self) -> dict[str, Member]:
        stable = OLD if self.live is not None else None
        return {
            service_name(number): Member(
                candidate=self.candidate, stable=self.live, stable_version=stable, is_entry=number == 0
            )
            for number in range(self.services)
        }

    def resource(self) -> Resource[ReleaseSpec]:
        """Return the release as the store would have it."""
        made = a_resource(release_spec(self.version, self.services, **self.spec), "psa-suite", "Release")
        bare = cast("Resource[ReleaseSpec]", made)
        attempt = self._attempt(bare)
        status = ReleaseStatus.model_validate({"attempt": attempt, **self.status})
        memo = ReleaseMemo.model_validate(
            {"attempt": 1, "process": PROCESS, "ticked_s": 99.0, "ticked_at": self.now - timedelta(seconds=1)}
            | dict(self.memo)
        )
        return replace(bare, status=status, memo=memo, **self.release)  # type: ignore[arg-type]

    def _attempt(self, release: Resource[ReleaseSpec]) -> Attempt | None:
        if self.phase is Phase.PENDING and self.attempt == {"number": 0}:
            return None
        templates = {
            service_name(number): service_spec(number).container.template.replace("{version}", NEW)
            for number in range(self.services)
        }
        asked = replace(release, spec=release_spec(NEW, self.services))
        given: dict[str, object] = {
            "number": 1,
            "version": NEW,
            "fingerprint": fingerprint(asked, templates),
            "members": self.roles(),
            "phase": self.phase,
            "began_at": self.now - timedelta(seconds=60),
            "entered_at": self.now - timedelta(seconds=5),
        }
        if self.phase in {Phase.PROMOTE, Phase.VERIFY, Phase.SOAK}:
            given["promoted_at"] = given["step_at"] = given["entered_at"]
        return Attempt.model_validate(given | dict(self.attempt))

    def member(self, number: int) -> SeenMember:
        """Return one service: candidates are made from HealthCheck on, the split is as the phase asks."""
        name = service_name(number)
        containers = {}
        if self.live is not None:
            containers[self.live] = a_slot(number, self.live)
        if self.phase not in _BEFORE_DEPLOY:
            containers[self.candidate] = a_slot(number, self.candidate, NEW, mark=MARK)
        given: dict[str, Any] = {
            "service": a_service(number, self.live),
            "containers": containers,
            "split": self._split(number),
            "counted": counted() if number == 0 else None,
            "probes": {color: WELL for color in (self.candidate, self.live) if color is not None},
        }
        return SeenMember(name, **(given | dict(self.members.get(number, {}))))

    def _split(self, number: int) -> Resource[TrafficSplitSpec] | None:
        if number > 0 or (self.live is None and self.phase not in _PROMOTED):
            return None
        percent = 100 if self.phase in _PROMOTED else 50 if self.phase in {Phase.SPLIT, Phase.WATCH} else 0
        loser = "drain" if self.live is not None and self.phase in _PROMOTED else "maint"
        return a_split(number, self.candidate, percent, loser=loser)

    def look(self) -> SeenRelease:
        """Return what one look finds."""
        given: dict[str, Any] = {
            "process": PROCESS,
            "monotonic": 100.0,
            "members": tuple(self.member(number) for number in range(self.services)),
            "known_hooks": {"unit": True, "audit": False, "smoke": True, "functional": True},
            "preflight": Preflight({"pve": a_site()}, {GATEWAY: (a_node(),)}),
            "has_report": True,
        }
        return SeenRelease(**(given | dict(self.seen)))

    def plan(self) -> Plan[ReleaseAction]:
        return plan_release(self.resource(), self.look(), self.now)

    def asked(self, verb: str, **arguments: str) -> Plan[ReleaseAction]:
        """Return the plan after somebody asked for something."""
        asked = {**self.release, "requests": (_asks(verb, arguments),)}
        return replace(self, release=asked).plan()


_BEFORE_DEPLOY = frozenset(
    {Phase.PENDING, Phase.PRE_CHECK, Phase.BACKUP, Phase.MIGRATE, Phase.DEPLOY_CANDIDATE}
)
_PROMOTED = frozenset({Phase.PROMOTE, Phase.VERIFY, Phase.SOAK, Phase.COMPLETED})


def a_request(verb: str, *, number: int = 1, actor: str = "anna", **arguments: str) -> Request:
    return Request(number, verb, actor, START, "because", arguments)


def _asks(verb: str, arguments: Mapping[str, str]) -> Request:
    return replace(a_request(verb), arguments=arguments)


def a_hold(
    reason: str,
    *,
    by: str = "the rule",
    then: HoldExit = HoldExit.ROLL_BACK,
    for_: timedelta = timedelta(minutes=5),
) -> Hold:
    return Hold(reason=reason, message=f"{reason} it is", since=START, by=by, until=START + for_, exit=then)


def attempt_of(plan: Plan[ReleaseAction]) -> Attempt:
    """Return the attempt as the plan leaves it."""
    assert isinstance(plan.status, ReleaseStatus)
    assert plan.status.attempt is not None
    return plan.status.attempt


def memo_of(plan: Plan[ReleaseAction]) -> ReleaseMemo:
    assert isinstance(plan.memo, ReleaseMemo)
    return plan.memo


def notes(plan: Plan[ReleaseAction]) -> list[str]:
    """Return the reasons of a plan's events."""
    return [write.reason for write in plan.writes if isinstance(write, Note)]
