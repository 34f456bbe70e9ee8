"""Service: a pair of containers, blue and green, and the backend that sends traffic to one of them."""

import enum
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from crds.balancer import BackendName, ServerName
from crds.container import Attachment, ContainerShape, CtId, InterfaceAddress, NodeName
from crds.meta import Claim, EndpointName, Model, ObjectName, Spec

Version = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+_-]{0,62}$")]
HealthPath = Annotated[str, StringConstraints(pattern=r"^/[\x21-\x7e]*$", max_length=255)]


class Color(enum.Enum):
    """The two slots of a service; a colour says nothing about which one is live."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> "Color":
        """The opposite slot."""
        return Color.GREEN if self is Color.BLUE else Color.BLUE


class Background(enum.Enum):
    """Which colours work on queues and schedules."""

    ACTIVE = "active"
    BOTH = "both"


class BackendRef(Model):
    """The HAProxy backend that the service stands behind."""

    endpoint: EndpointName
    """The HAProxy, or pair of them, one of the settings' endpoints."""
    name: BackendName
    """Backend of the HAProxy configuration."""


class Health(Model):
    """How the service says that it is well."""

    path: HealthPath = "/health"
    """Path of the health endpoint."""
    expect: dict[str, str] = Field(default_factory=dict)
    """Fields that the JSON answer must have; the version of a release is always compared."""


def _versioned(template: str) -> str:
    if template.count("{version}") != 1 or template.replace("{version}", "").count("{"):
        raise ValueError("a template with {version} in it is needed, once, and no other {…}")
    return template


class SlotShape(ContainerShape):
    """What both colours' containers are made of."""

    template: Annotated[
        str,
        StringConstraints(
            pattern=r"^[A-Za-z][A-Za-z0-9._-]*:vztmpl/[A-Za-z0-9][A-Za-z0-9._+{}-]*\.tar\.(gz|xz|zst)$"
        ),
        AfterValidator(_versioned),
    ]
    """Volume of the template, with {version} where the release's version stands."""
    network: Attachment
    """Where both colours hang in the network; the addresses are the colours'."""


class Slot(Model):
    """One colour: which container it is and where it listens."""

    ctid: CtId
    """Container id, unique in the cluster."""
    node: NodeName
    """Node that it lives on."""
    address: InterfaceAddress
    """Static IPv4 address with its prefix length."""
    port: Annotated[int, Field(strict=True, ge=1, le=65535)]
    """TCP port that the service listens on."""
    server: ServerName | None = None
    """Name of the HAProxy server; the colour's name if it is left out."""


class Slots(Model):
    """Both colours."""

    blue: Slot
    green: Slot

    def __getitem__(self, color: Color) -> Slot:
        return self.blue if color is Color.BLUE else self.green


class Initial(Model):
    """What is live while no release has said otherwise."""

    color: Color = Color.BLUE
    """Colour whose container exists and has the traffic."""
    version: Version
    """Version that it runs."""


class ServiceSpec(Spec):
    """A service with two colours."""

    backend: BackendRef | None = None
    """Entry of the platform; a service behind the entry has none."""
    health: Health = Health()
    """Health endpoint."""
    container: SlotShape
    """What both colours' containers are made of."""
    colors: Slots
    """The two slots."""
    initial: Initial | None = None
    """What is live before the first release."""
    peers: tuple[ObjectName, ...] = ()
    """Services that a colour calls in its own colour."""
    background: Background = Background.ACTIVE
    """Which colours work on queues and schedules; a candidate is passive until it is promoted."""

    def claims(self, name: str) -> tuple[Claim, ...]:
        """Claim both colours' container ids and addresses, and the backend's two servers."""
        found = []
        for color in Color:
            slot, path = self.colors[color], ("spec", "colors", color.value)
            address = slot.address.split("/")[0]
            found.append(Claim(f"CT {slot.ctid} on {self.container.endpoint}", (*path, "ctid")))
            found.append(Claim(f"address {address} on {self.container.endpoint}", (*path, "address")))
            if self.backend is not None:
                server = f"{self.backend.name}/{slot.server or color.value}"
                found.append(Claim(f"server {server} on {self.backend.endpoint}", (*path, "port")))
        return tuple(found)


class ServiceStatus(Model):
    """What was last seen of a service."""

    live: str | None = None
    """Colour with the traffic (without a backend: the initial one); absent while it is unknown."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Version in each colour's slot."""
