"""Service: a pair of containers, blue and green, and the backend that sends traffic to one of them."""

import enum
from collections.abc import Mapping
from typing import Annotated, Final, TypedDict

from pydantic import AfterValidator, Field, StringConstraints

from crds.balancer import BackendName, Override, ServerName, ServerShare, TrafficSplitSpec
from crds.container import (
    Attachment,
    ContainerShape,
    ContainerSpec,
    CtId,
    InterfaceAddress,
    NetworkInterface,
    NodeName,
)
from crds.meta import (
    Claim,
    DeletionPolicy,
    EndpointName,
    Key,
    Mode,
    Model,
    ObjectName,
    Selection,
    Spec,
    Verb,
)

#: Annotations of our own on the children of a service.
VERSION: Final = "psa.platform/version"
SERVICE: Final = "psa.platform/service"
COLOR: Final = "psa.platform/color"
#: Written by releases on both containers at a promotion: which colour is live behind the entry.
LIVE: Final = "psa.platform/live"

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


class _PassedDown(TypedDict):
    """What a service's children have from it."""

    mode: Mode
    deletion_policy: DeletionPolicy
    allow: tuple[Verb, ...]
    adopt: bool
    suspend: bool


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

    def selects(self) -> tuple[Selection, ...]:
        """Select the containers' Proxmox, and the backend's HAProxy if there is one."""
        containers = Selection(self.container.endpoint, "proxmox", ("spec", "container", "endpoint"))
        if self.backend is None:
            return (containers,)
        return (containers, Selection(self.backend.endpoint, "haproxy", ("spec", "backend", "endpoint")))

    def claims(self, name: str) -> tuple[Claim, ...]:
        """Claim both colours' container ids and addresses, and the backend's two servers."""
        found = []
        for color in Color:
            slot, path = self.colors[color], ("spec", "colors", color.value)
            address = slot.address.split("/")[0]
            found.append(Claim(f"CT {slot.ctid} on {self.container.endpoint}", (*path, "ctid")))
            found.append(Claim(f"address {address} on {self.container.endpoint}", (*path, "address")))
            if self.backend is not None:
                server = f"{self.backend.name}/{self.server_name(color)}"
                found.append(Claim(f"server {server} on {self.backend.endpoint}", (*path, "port")))
        return tuple(found)

    def child_lines(self, child: Key, lines: Mapping[str, int]) -> Mapping[str, int]:
        """Return the lines of the slot that *child* is made from, under the names of its own fields."""
        moves = {f"spec.colors.{color.value}": f"spec.{color.value}" for color in Color}
        if child.kind == "Container":
            slot = f"spec.colors.{child.name.rpartition('-')[2]}"
            fields = {"ctid": "spec.ctid", "node": "spec.node", "address": "spec.network.address"}
            moves = {"spec.container": "spec", **{f"{slot}.{old}": new for old, new in fields.items()}}
        moved = {
            f"{new}{path.removeprefix(old)}": line
            for old, new in moves.items()
            for path, line in lines.items()
            if path == old or path.startswith(f"{old}.")
        }
        return {**lines, **moved}

    def server_name(self, color: Color) -> ServerName:
        """Return the name of a colour's server in HAProxy."""
        return self.colors[color].server or color.value

    def container_spec(
        self,
        name: str,
        color: Color,
        version: str,
        *,
        incarnation: str | None = None,
        replace: str | None = None,
        restart: str | None = None,
    ) -> ContainerSpec:
        """Return what the container of *color* is at *version*, for the service called *name*.

        Built from parts that were validated with the service. The rest is what a release wrote.
        """
        shape, slot = self.container, self.colors[color]
        attachment = {field: getattr(shape.network, field) for field in Attachment.model_fields}
        fields = {field: getattr(shape, field) for field in ContainerShape.model_fields}
        fields["template"] = shape.template.replace("{version}", version)
        return ContainerSpec.model_construct(
            **fields,
            **self._passed_down(),
            depends_on=self.depends_on,
            poll_interval=self.poll_interval,
            ctid=slot.ctid,
            node=slot.node,
            hostname=container_key(name, color).name,
            network=NetworkInterface.model_construct(**attachment, address=slot.address),
            incarnation=incarnation,
            replace=replace,
            restart=restart,
        )

    def split_spec(
        self, name: str, blue: ServerShare, green: ServerShare, override: Override | None = None
    ) -> TrafficSplitSpec:
        """Return the split of the service called *name*; ValueError for a service without a backend."""
        if self.backend is None:
            raise ValueError(f"Service/{name} has no backend, so nothing to split")
        return TrafficSplitSpec(
            **self._passed_down(),
            service=name,
            endpoint=self.backend.endpoint,
            backend=self.backend.name,
            blue=blue,
            green=green,
            override=override,
        )

    def _passed_down(self) -> _PassedDown:
        return _PassedDown(
            mode=self.mode,
            deletion_policy=DeletionPolicy.RETAIN,
            allow=self.allow,
            adopt=self.adopt,
            suspend=self.suspend,
        )


def container_key(service: str, color: Color) -> Key:
    """Return the key of a colour's container."""
    return Key("Container", f"{service}-{color.value}")


def container_annotations(
    service: str, color: Color, version: str, *, live: bool | None = None
) -> dict[str, str]:
    """Return the annotations of a colour's container; *live* None says nothing of it."""
    said = {} if live is None else {LIVE: "true" if live else "false"}
    return {VERSION: version, SERVICE: service, COLOR: color.value, **said}


def split_key(service: str) -> Key:
    """Return the key of a service's split."""
    return Key("TrafficSplit", service)


def split_annotations(service: str) -> dict[str, str]:
    """Return the annotations of a service's split."""
    return {SERVICE: service}


def share_of(split: TrafficSplitSpec, color: Color) -> ServerShare:
    """Return a colour's share."""
    return split.blue if color is Color.BLUE else split.green


class ServiceStatus(Model):
    """What was last seen of a service."""

    live: str | None = None
    """Colour with the traffic (without a backend: promoted last, else initial); absent while unknown."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Version in each colour's slot."""
