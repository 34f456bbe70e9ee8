"""What an alert leads to: the rollback of the one release that it is about, or an event that says why not."""

import enum
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from crds.meta import Key
from crds.release import Attempt, Phase, ReleaseSpec, ReleaseStatus
from daemon.store.operations import Ask, Record
from daemon.store.state import State
from daemon.web.alert_message import Alert, harmless
from daemon.web.console import DAEMON
from reconcilers.contract import AnyResource

#: A firing alert with this label and value asks for a rollback.
ACTION: Final = "psa_action"
ROLLBACK: Final = "rollback"
#: Begins the actor of everything that an alert asks for: releases know by it what triggered them.
ACTOR: Final = "alertmanager"
#: Phases in which the candidate may have traffic.
_TRAFFIC: Final = frozenset({Phase.SPLIT, Phase.WATCH, Phase.PROMOTE, Phase.VERIFY, Phase.SOAK})
_OVER: Final = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.ROLLING_BACK, Phase.ROLLED_BACK})
_LONGEST: Final = 500
_LONGEST_ACTION: Final = 40
_NAMED: Final = 5


class Result(enum.Enum):
    """What became of an alert."""

    ACTED = "acted"
    RESOLVED = "resolved"
    DUPLICATE = "duplicate"
    EARLY = "early"
    LATE = "late"
    AMBIGUOUS = "ambiguous"
    UNKNOWN = "unknown"
    """It asks for nothing, or is about nothing that there is."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A release with its last attempt, None before the first one.

    ``is_asked``: an alert has asked for this attempt's rollback already.
    """

    key: Key
    attempt: Attempt | None
    services: frozenset[str]
    is_asked: bool = False

    @property
    def has_traffic(self) -> bool:
        """Whether its candidate may have traffic."""
        return self.attempt is not None and self.attempt.phase in _TRAFFIC

    @property
    def began_at(self) -> datetime | None:
        """When the last attempt began."""
        return self.attempt.began_at if self.attempt is not None else None


@dataclass(frozen=True, slots=True)
class Releases:
    """All releases as alerts see them; made once for many alerts."""

    standings: Mapping[str, Standing] = field(default_factory=dict)

    @classmethod
    def of(cls, state: State) -> "Releases":
        """Return the releases of the store."""
        return cls({each.key.name: _standing(each) for each in state.list("Release")})

    @property
    def running(self) -> tuple[Standing, ...]:
        """Those whose candidate may have traffic."""
        return tuple(each for each in self.standings.values() if each.has_traffic)

    def with_service(self, service: str) -> tuple[Standing, ...]:
        """Return the releases that a service takes part in."""
        return tuple(each for each in self.standings.values() if service in each.services)

    def asked(self, key: Key) -> "Releases":
        """Return the releases after an alert asked for the rollback of one of them."""
        asked = replace(self.standings[key.name], is_asked=True)
        return Releases({**self.standings, key.name: asked})


def _standing(release: AnyResource) -> Standing:
    attempt = release.status.attempt if isinstance(release.status, ReleaseStatus) else None
    if attempt is None:
        services = release.spec.services if isinstance(release.spec, ReleaseSpec) else ()
        return Standing(release.key, None, frozenset(services))
    is_asked = any(
        request.answer is None
        and request.verb == ROLLBACK
        and request.actor.startswith(ACTOR)
        and request.arguments.get("attempt") == str(attempt.number)
        for request in release.requests
    )
    return Standing(release.key, attempt, frozenset(attempt.members), is_asked)


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one alert, as a sentence, and where it is filed. ``ask`` goes to the release."""

    result: Result
    key: Key
    message: str
    warning: bool = False
    ask: Ask | None = None

    def record(self, at: datetime, actor: str) -> Record:
        """Return its event."""
        reason = f"Alert{self.result.value.capitalize()}"
        return Record(self.key, at, reason, harmless(self.message, _LONGEST), self.warning, actor)


def decide(
    releases: Releases, alert: Alert, now: datetime, actor: str = ACTOR, *, is_over: bool = False
) -> Decision:
    """Return what *alert*, which was never heard of, leads to; *is_over*: its end was heard of before."""
    found, action = _concerned(releases, alert.labels), alert.labels.get(ACTION)
    is_named = action == ROLLBACK or bool(alert.labels.get("release") or alert.labels.get("service"))
    key = found.key if isinstance(found, Standing) and is_named else DAEMON
    if alert.is_resolved or is_over:
        return Decision(Result.RESOLVED, key, f"{alert.title} is over; nothing is undone")
    if action != ROLLBACK:
        asks = f"{ACTION}={harmless(action, _LONGEST_ACTION)}" if action is not None else f"no {ACTION}"
        return Decision(Result.UNKNOWN, key, f"{alert.title}: it has {asks}, so nothing is done")
    if isinstance(found, Standing):
        return _decided(found, alert, now, actor)
    result, why = found
    is_warning = result is Result.AMBIGUOUS
    return Decision(result, key, f"{alert.title}: {why}, so nothing is done", warning=is_warning)


_Unclear = tuple[Result, str]


def _concerned(releases: Releases, labels: Mapping[str, str]) -> Standing | _Unclear:
    """Return the one release that the labels are about: named, by a service, or the only one that runs."""
    # An empty label is none, as in Prometheus.
    if labels.get("release"):
        named = releases.standings.get(labels["release"])
        return named or (Result.UNKNOWN, "there is no such release")
    if labels.get("service"):
        return _of_service(releases.with_service(labels["service"]))
    running = releases.running
    if not running:
        return Result.UNKNOWN, "no release has a candidate with traffic"
    return _only(running) or _several(running)


def _of_service(members: tuple[Standing, ...]) -> Standing | _Unclear:
    running = tuple(each for each in members if each.has_traffic)
    if len(running) > 1:
        return _several(running)
    if not members:
        return Result.UNKNOWN, "no release has this service"
    # The others are over, or not so far: the youngest is the one that it may have been about.
    return _only(running) or max(members, key=_youth)


def _youth(standing: Standing) -> tuple[bool, float]:
    began_at = standing.began_at
    return began_at is not None, began_at.timestamp() if began_at is not None else 0.0


def _only(standings: tuple[Standing, ...]) -> Standing | None:
    return standings[0] if len(standings) == 1 else None


def _several(standings: tuple[Standing, ...]) -> _Unclear:
    names = [each.key.name for each in standings]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return Result.AMBIGUOUS, f"it may be about {', '.join(names[:_NAMED])}{more}"


def _decided(standing: Standing, alert: Alert, now: datetime, actor: str) -> Decision:
    """Ask for the rollback of a release's running attempt; never of another one, never twice."""
    attempt, key = standing.attempt, standing.key
    if attempt is None:
        return Decision(Result.EARLY, key, f"{alert.title}: no attempt has begun, so nothing is done")
    unready = _unready(attempt, alert, is_asked=standing.is_asked)
    if unready is not None:
        result, why = unready
        return Decision(result, key, f"{alert.title}: {why}, so nothing is done")
    if not attempt.has_stable:
        why = f"attempt {attempt.number} is a first release: there is nothing to go back to"
        return Decision(Result.UNKNOWN, key, f"{alert.title}: {why}", warning=True)
    reason = f"{alert.name}: {alert.summary}" if alert.summary else alert.name
    arguments = {"only": "traffic", "attempt": str(attempt.number)}
    ask = Ask(key, ROLLBACK, actor, now, reason, arguments)
    return Decision(
        Result.ACTED, key, f"{alert.title}: the rollback of attempt {attempt.number} is asked for", ask=ask
    )


def _unready(attempt: Attempt, alert: Alert, *, is_asked: bool) -> _Unclear | None:
    """Return why this is no attempt that the alert can end."""
    is_now = f"attempt {attempt.number} is in {attempt.phase.value}"
    if attempt.phase in _OVER:
        return Result.LATE, is_now
    if attempt.phase not in _TRAFFIC:
        return Result.EARLY, f"{is_now}, without traffic"
    if is_asked:
        return Result.LATE, f"the rollback of attempt {attempt.number} is asked for already"
    split_at = attempt.split_at or attempt.step_at or attempt.began_at
    if alert.starts_at < split_at:
        began = f"it began at {alert.starts_at:%H:%M:%S} UTC"
        return Result.EARLY, f"{began}, before attempt {attempt.number} had traffic at {split_at:%H:%M:%S}"
    return None


def decide_all(
    releases: Releases, alerts: Iterable[tuple[Alert, str]], over: Container[str], now: datetime
) -> tuple[Decision, ...]:
    """Decide on one alert after the other, each with its actor: of several about one attempt, the first asks.

    *over* has the marks of alerts that are known to be over.
    """
    decisions, ended = [], set[str]()
    for alert, actor in alerts:
        end = alert.mark("resolved")
        decision = decide(releases, alert, now, actor, is_over=end in ended or end in over)
        decisions.append(decision)
        if alert.is_resolved:
            ended.add(end)
        if decision.ask is not None:
            releases = releases.asked(decision.key)
    return tuple(decisions)
