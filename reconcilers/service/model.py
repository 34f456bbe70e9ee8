"""What a look at a service gives: its children in the store, and its two servers in HAProxy."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Never

from crds.balancer import TrafficSplitSpec
from crds.container import ContainerSpec
from crds.service import Color

#: ``NAME-green`` must be a host name of at most 63 characters.
LONGEST_NAME: Final = 57


class Evidence(enum.Enum):
    """Whether a colour has traffic, as far as HAProxy can tell."""

    LIVE = "live"
    IDLE = "idle"
    UNDECIDED = "undecided"
    """Open, but not checked yet, or one failed check away from DOWN."""


@dataclass(frozen=True, slots=True)
class Child:
    """A child of the service in the store."""

    is_ready: bool
    says: str
    """Its reason for not being ready, or of being degraded; without anything that moves by itself."""
    is_degraded: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    is_current: bool = False
    """Not orphaned, and with the service's own labels and place in the file."""


@dataclass(frozen=True, slots=True)
class SlotChild(Child):
    """The container of one colour; ``version`` is None if its annotation is gone."""

    spec: ContainerSpec = field(kw_only=True)
    version: str | None = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class SplitChild(Child):
    """The traffic split."""

    spec: TrafficSplitSpec = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class SeenServer:
    """One colour's server on one node; ``address`` is None for a UNIX socket or an unresolved name."""

    node: str
    address: str | None
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class SeenServers:
    """What HAProxy says of the two servers, by colour, a row for each node that has them.

    ``missing`` says what is not configured, ``away`` which nodes did not answer: of those nothing is known.
    """

    servers: Mapping[Color, tuple[SeenServer, ...]]
    missing: tuple[str, ...] = ()
    away: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenService:
    """All that a service's plan needs. ``servers`` is None for a service without a backend."""

    slots: Mapping[Color, SlotChild]
    split: SplitChild | None
    servers: SeenServers | None


#: A service changes nothing outside itself.
NoAction = Never
