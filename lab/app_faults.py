"""What can be wrong with an application, and whom it concerns: rules by service, colour and version."""

from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field

#: Instead of a service: every service.
ALL: Final = "all"
_LONGEST_S: Final = 3600.0


class AppFault(BaseModel):
    """What is wrong with an application; the default is nothing. Shares are those of requests, 0 to 1.

    Health checks are concerned by ``unhealthy``, ``health_version`` and ``refuse`` only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    unhealthy: bool = False
    """The health endpoint answers 503."""
    health_version: str | None = None
    """The health endpoint says this version."""
    refuse: bool = False
    """Connections are refused."""
    error_rate: float = Field(default=0.0, ge=0, le=1)
    """Share that gets an error."""
    error_status: int = Field(default=500, ge=400, le=599)
    """Status of these errors, and of a leak's."""
    error_burst: float = Field(default=1.0, ge=1, le=10_000)
    """Errors come in runs of this mean length; their share stays the same."""
    latency: float = Field(default=0.0, ge=0, le=_LONGEST_S)
    """Seconds before an answer."""
    slow_body: float = Field(default=0.0, ge=0, le=_LONGEST_S)
    """Seconds between an answer's head and the end of its body."""
    slow_share: float = Field(default=1.0, ge=0, le=1)
    """Share that ``latency`` and ``slow_body`` concern."""
    hang: float = Field(default=0.0, ge=0, le=1)
    """Share that is taken and never answered."""
    reset: float = Field(default=0.0, ge=0, le=1)
    """Share whose connection is reset in the middle of the answer."""
    garbage: float = Field(default=0.0, ge=0, le=1)
    """Share that is answered with what is not HTTP."""
    leak_requests: int = Field(default=0, ge=0)
    """A leak that is full after so many requests since the container's start."""
    leak_seconds: float = Field(default=0.0, ge=0)
    """A leak that is full after so many seconds since the container's start."""
    leak_errors: float = Field(default=1.0, ge=0, le=1)
    """Error rate of a full leak; it grows in proportion."""
    leak_latency: float = Field(default=0.0, ge=0, le=_LONGEST_S)
    """Seconds before an answer when the leak is full; they grow in proportion."""
    leak_connections: float = Field(default=0.0, ge=0, le=1)
    """Share that never gives its database connection back, until the container stops."""
    path: str = ""
    """Only requests whose path begins so."""

    def leaked(self, requests: int, seconds: float) -> float:
        """Return how full the leak is, 0 to 1, after *requests* and *seconds* since the start."""
        by_requests = requests / self.leak_requests if self.leak_requests else 0.0
        by_seconds = seconds / self.leak_seconds if self.leak_seconds else 0.0
        return min(1.0, max(by_requests, by_seconds))


WELL: Final = AppFault()


class Rule(BaseModel):
    """A fault and whom it concerns: no colour or version is each of them, also those that come later."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: str
    """A name, or ``all``."""
    color: str | None = None
    version: str | None = None
    fault: AppFault = WELL

    @property
    def scope(self) -> tuple[str, str | None, str | None]:
        """Service, colour and version, as they were given."""
        return self.service, self.color, self.version

    def concerns(self, service: str, color: str, version: str) -> bool:
        """Whether this container is meant."""
        return (
            self.service in {ALL, service} and self.color in {None, color} and self.version in {None, version}
        )

    def includes(self, other: Self) -> bool:
        """Whether all whom *other* concerns are concerned by this rule too."""
        pairs = zip(
            (None if self.service == ALL else self.service, *self.scope[1:]), other.scope, strict=True
        )
        return all(mine is None or mine == its for mine, its in pairs)

    def __str__(self) -> str:
        """Return the scope and the fault for people."""
        scope = " ".join(word for word in self.scope if word is not None)
        fields = self.fault.model_dump(exclude_defaults=True)
        return f"{scope}: {', '.join(_worded(name, value) for name, value in fields.items()) or 'nothing'}"


class DatabaseFault(BaseModel):
    """What is wrong with the database that all services share; the default is nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    down: bool = False
    """It refuses connections."""
    latency: float = Field(default=0.0, ge=0, le=_LONGEST_S)
    """Seconds that each request waits for it."""
    services: tuple[str, ...] = ()
    """Services that notice that it is down or slow; all if it is empty."""
    connections: int = Field(default=100, ge=0)
    """Connections that it has, for all services and both colours."""


class InForce(BaseModel):
    """All that is wrong now; ``rules`` are in the order in which they came."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[Rule, ...] = ()
    database: DatabaseFault = DatabaseFault()

    def with_rule(self, rule: Rule) -> Self:
        """Let *rule* take the place of the one of its scope; without a fault it ends all that it includes."""
        if rule.fault == WELL:
            kept = tuple(each for each in self.rules if not rule.includes(each))
        else:
            kept = (*(each for each in self.rules if each.scope != rule.scope), rule)
        return self.model_copy(update={"rules": kept})

    def faults_of(self, service: str, color: str, version: str) -> tuple[AppFault, ...]:
        """Return what is wrong with one container; all of it at once."""
        return tuple(rule.fault for rule in self.rules if rule.concerns(service, color, version))


def _worded(name: str, value: object) -> str:
    words = name.replace("_", " ")
    return (
        words if value is True else f"{words} {value:g}" if isinstance(value, float) else f"{words} {value}"
    )
