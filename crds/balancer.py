"""LoadBalancer and TrafficSplit: what stands in HAProxy at run time."""

import enum
from datetime import datetime
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, StringConstraints

from crds.meta import Claim, EndpointName, Model, ObjectName, Selection, Spec
from crds.versions import VersionFloor

#: HAProxy's own alphabet for proxy and server names; a newline or ``;`` would start another command.
BackendName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
ServerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
#: Absolute, never a percentage: ``10%`` is relative to the configured weight, so 10 % of 0 is 0.
Weight = Annotated[int, Field(strict=True, ge=0, le=256)]


class ServerState(enum.Enum):
    """Administrative state of a server. Only maint moves clients that are bound by a cookie."""

    READY = "ready"
    DRAIN = "drain"
    MAINT = "maint"


class ServerWish(Model):
    """What one server shall be; a field that is left out is not managed."""

    weight: Weight | None = None
    """Absolute weight, 0 to 256."""
    state: ServerState | None = None
    """Administrative state."""


class BackendWish(Model):
    """What one backend shall be."""

    algorithm: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")] | None = None
    """Balancing algorithm that the configuration must have, such as roundrobin; verified, not set."""
    servers: dict[ServerName, ServerWish] = Field(default_factory=dict)
    """Servers that must exist; those of a service have no weight or state here."""


class LoadBalancerSpec(Spec):
    """An HAProxy, or several that are one pair."""

    endpoint: EndpointName
    """The HAProxy, one of the settings' endpoints."""
    minimum_version: VersionFloor | None = None
    """Lowest version that is accepted."""
    backends: dict[BackendName, BackendWish] = Field(default_factory=dict)
    """Backends that must exist."""

    def selects(self) -> tuple[Selection, ...]:
        """Select the endpoint."""
        return (Selection(self.endpoint, "haproxy"),)

    def claims(self, name: str) -> tuple[Claim, ...]:
        """Claim the endpoint, and each server whose weight or state is given here."""
        found = [Claim(f"HAProxy {self.endpoint}", ("spec", "endpoint"))]
        for backend, wish in self.backends.items():
            for server, asked in wish.servers.items():
                if asked.weight is not None or asked.state is not None:
                    path = ("spec", "backends", backend, "servers", server)
                    found.append(Claim(f"server {backend}/{server} on {self.endpoint}", path))
        return tuple(found)


class LoadBalancerStatus(Model):
    """What was last seen of an HAProxy pair."""

    nodes: tuple[str, ...] = ()
    """One line a node: socket, version and pid, or that it did not answer."""
    pids: dict[str, int] = Field(default_factory=dict)
    """Process that answered last, by node; another one means a reload or a restart."""


class ServerShare(Model):
    """One colour's server of a traffic split."""

    server: ServerName
    """Name of the HAProxy server."""
    weight: Weight
    """Absolute weight, 0 to 256."""
    state: ServerState
    """Administrative state."""

    @property
    def part(self) -> int:
        """Weight for new clients: nothing unless it is ready."""
        return self.weight if self.state is ServerState.READY else 0

    def given(self, weight: int) -> Self:
        """Return the same server with *weight*: ready, or in maintenance if that is 0."""
        state = ServerState.READY if weight else ServerState.MAINT
        return self.model_copy(update={"weight": weight, "state": state})


class Override(Model):
    """What a person wants of the traffic for a while, instead of the record."""

    blue: Weight
    """Blue's absolute weight; 0 is maintenance, which moves sticky clients too."""
    green: Weight
    """Green's absolute weight; 0 is maintenance."""
    until: AwareDatetime
    """When the record is in force again."""
    reason: str
    """Why."""
    actor: str
    """Who."""


class TrafficSplitSpec(Spec):
    """Which share of a service's traffic each colour gets; written by the service and its release only."""

    service: ObjectName
    """The service."""
    endpoint: EndpointName
    """The HAProxy, one of the settings' endpoints."""
    backend: BackendName
    """Backend of the HAProxy configuration."""
    blue: ServerShare
    """Blue's share."""
    green: ServerShare
    """Green's share."""
    override: Override | None = None
    """What a person wants for a while; a release holds meanwhile. It is removed when it has run out."""

    def overridden(self, now: datetime) -> Override | None:
        """Return the override that is in force at *now*, if there is one."""
        return self.override if self.override is not None and now < self.override.until else None

    def in_force(self, now: datetime) -> Self:
        """Return the split with the shares that hold at *now*: an override's, else the record's."""
        found = self.overridden(now)
        if found is None:
            return self
        return self.model_copy(
            update={"blue": self.blue.given(found.blue), "green": self.green.given(found.green)}
        )


class TrafficSplitStatus(Model):
    """What was last seen of a split, a line a node: ``node 1: blue 100 ready, green 0 maint``."""

    observed: tuple[str, ...] = ()
    """Weights and states read back, a node each."""
    pids: dict[str, int] = Field(default_factory=dict)
    """Process that answered last, by node; another one means a reload or a restart."""
    override: str | None = None
    """The override that is in force; absent while the record is."""
