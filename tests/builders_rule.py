"""An entry whose counters a test moves tick by tick, and whose evidence it reads."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from crds.evidence import Evidence
from reconcilers.counters import CountedNode, CountedServer, Counters
from reconcilers.release.analysis import Judgement, judge
from reconcilers.release.rule import Rule, Sample, Slowness
from reconcilers.release.watching import advance
from reconcilers.servers import Health
from tests.builders import START


def counters(requests: int = 0, errors: int = 0, **fields: int) -> Counters:
    """Return counters of so many requests, errors (5xx) among them."""
    values = dict.fromkeys(("refused", "broken", "retries", "redispatches", "sessions", "queued"), 0)
    return Counters(requests=requests, errors_5xx=errors, **{**values, **fields})


@dataclass
class FakeNode:
    """One HAProxy with two servers."""

    socket: str = "unix:///run/haproxy/1.sock"
    pid: int = 10
    shown: dict[str, Counters] = field(default_factory=dict)
    health: dict[str, Health] = field(default_factory=dict)
    is_away: bool = False

    def add(self, server: str, **more: int) -> None:
        """Count more for a server; ``sessions`` and ``queued`` are what it holds now."""
        old = self.shown.get(server, counters())
        new = {name: getattr(old, name) + count for name, count in more.items() if name not in HELD}
        self.shown[server] = replace(old, **new, **{name: more[name] for name in HELD if name in more})

    def counted(self) -> CountedNode:
        servers = (
            CountedServer(name, self.health.get(name, Health.UP), each) for name, each in self.shown.items()
        )
        return CountedNode("node 1", self.socket, self.pid, tuple(servers))


HELD = ("sessions", "queued", "attempts", "client_aborts")


@dataclass
class Entry:
    """One entry on trial, with its split read back; each ``tick`` is one second."""

    rule: Rule = Rule()
    candidate: str = "green"
    stable: str | None = "blue"
    weights: tuple[int, int] = (50, 50)
    is_read_back: bool = True
    evidence: Evidence = Evidence()
    now: datetime = START
    node: FakeNode = field(default_factory=FakeNode)
    others: tuple[FakeNode, ...] = ()
    last_step_at: datetime | None = None
    in_soak: bool = False
    probes: dict[str, bool | None] = field(default_factory=dict)
    """``candidate_probe``, ``is_running``, ``stable_probe``."""

    def __post_init__(self) -> None:
        for node in (self.node, *self.others):
            for server in (self.candidate, self.stable):
                if server is not None:
                    node.add(server)

    def began(self) -> "Entry":
        """Take the first look, from which on it is counted."""
        self.look(None)
        return self

    def sample(self, slowness: tuple[Slowness, ...] = ()) -> Sample:
        nodes = tuple(each.counted() for each in (self.node, *self.others) if not each.is_away)
        return Sample(
            candidate=self.candidate,
            stable=self.stable,
            nodes=nodes,
            weight=self.weights[0],
            stable_weight=self.weights[1],
            is_read_back=self.is_read_back,
            slowness=slowness,
            **self.probes,
        )

    def look(self, elapsed_s: float | None, slowness: tuple[Slowness, ...] = ()) -> Evidence:
        self.evidence = advance(
            self.evidence, self.sample(slowness), self.rule, self.now, elapsed_s=elapsed_s
        )
        return self.evidence

    def tick(
        self,
        requests: int = 10,
        errors: int = 0,
        stable_requests: int = 10,
        stable_errors: int = 0,
        *,
        seconds: float = 1.0,
        slowness: tuple[Slowness, ...] = (),
    ) -> Evidence:
        """Let so much come, errors among the requests, and look."""
        self.node.add(self.candidate, requests=requests, errors_5xx=errors)
        if self.stable is not None:
            self.node.add(self.stable, requests=stable_requests, errors_5xx=stable_errors)
        self.now += timedelta(seconds=seconds)
        return self.look(seconds, slowness)

    def ticks(self, count: int, *come: int) -> Evidence:
        """Let the same come *count* times."""
        for _ in range(count):
            self.tick(*come)
        return self.evidence

    def judged(self) -> Judgement:
        return judge(self.evidence, self.rule, last_step_at=self.last_step_at, in_soak=self.in_soak)
