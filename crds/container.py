"""Container: one LXC container on a Proxmox cluster."""

import enum
import ipaddress
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from crds.meta import Claim, EndpointName, Model, Selection, Spec
from crds.quantity import DiskGiB, Duration, MemoryMiB

HostName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$", max_length=63)
]
NodeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")]
StorageName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,98}[A-Za-z0-9]$")]
TemplateVolume = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z][A-Za-z0-9._-]*:vztmpl/[A-Za-z0-9][A-Za-z0-9._+{}-]*\.tar\.(gz|xz|zst)$"
    ),
]
BridgeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$")]
InterfaceName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,14}$")]
Tag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_][a-z0-9_.+-]{0,60}$")]
CtId = Annotated[int, Field(strict=True, ge=100, le=999_999_999)]


def _address(text: str) -> str:
    if "/" not in text:
        raise ValueError("an IPv4 address with its prefix length is needed, such as 10.0.20.10/24")
    try:
        return str(ipaddress.IPv4Interface(text))
    except ValueError as exc:
        raise ValueError(f"not an IPv4 address with a prefix length: {exc}") from None


def _host(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as exc:
        raise ValueError(f"not an IP address: {exc}") from None


InterfaceAddress = Annotated[str, AfterValidator(_address)]
HostAddress = Annotated[str, AfterValidator(_host)]
SearchDomain = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")]
#: The stamp on a container that says what it was made from.
Recipe = Annotated[str, StringConstraints(pattern=r"^psa-r-[0-9a-f]{12}$")]
Incarnation = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,79}$")]
Description = Annotated[str, StringConstraints(max_length=4096)]


class PowerState(enum.Enum):
    """Whether the container shall run."""

    RUNNING = "Running"
    STOPPED = "Stopped"


class Attachment(Model):
    """Where a container hangs in the network; its addresses come beside it."""

    name: InterfaceName = "eth0"
    """Name of the interface inside the container."""
    bridge: BridgeName
    """Bridge on the node."""
    vlan: Annotated[int, Field(strict=True, ge=1, le=4094)] | None = None
    """VLAN tag."""
    gateway: HostAddress | None = None
    """Default gateway."""
    firewall: bool | None = None
    """Whether Proxmox's firewall filters this interface."""
    mtu: Annotated[int, Field(strict=True, ge=64, le=65535)] | None = None
    """Largest packet, in bytes."""
    rate: Annotated[float, Field(gt=0)] | None = None
    """Rate limit, in megabytes a second."""


class NetworkInterface(Attachment):
    """A network interface with its static address."""

    address: InterfaceAddress
    """Static IPv4 address with its prefix length."""


class Features(Model):
    """Kernel features of the container; all but nesting need root@pam, which no API token is."""

    nesting: bool | None = None
    """Allow containers inside, which systemd's sandboxing needs too."""
    keyctl: bool | None = None
    """Allow the keyctl system call."""
    fuse: bool | None = None
    """Allow FUSE file systems."""


class Startup(Model):
    """When the node starts and stops the container as it boots and shuts down."""

    order: Annotated[int, Field(strict=True, ge=0, le=9999)]
    """Lower ones start first and stop last."""
    up: Duration | None = None
    """Pause after its start, before the next one starts."""
    down: Duration | None = None
    """How long its shutdown may take."""


class ContainerShape(Model):
    """What a container is made of; a field that is left out is not managed."""

    endpoint: EndpointName
    """The Proxmox cluster, one of the settings' endpoints."""
    template: TemplateVolume
    """Volume of the template that it is created from."""
    storage: StorageName = "local"
    """Storage of the root disk."""
    unprivileged: bool = True
    """Whether root inside is nobody outside. Only at creation."""
    cores: Annotated[int, Field(strict=True, ge=1, le=8192)] | None = None
    """CPU cores."""
    memory: MemoryMiB | None = None
    """Memory limit."""
    swap: MemoryMiB | None = None
    """Swap limit."""
    disk: DiskGiB | None = None
    """Size of the root disk; it can grow, never shrink."""
    features: Features | None = None
    """Kernel features."""
    nameserver: HostAddress | None = None
    """DNS server."""
    searchdomain: SearchDomain | None = None
    """DNS search domain."""
    tags: tuple[Tag, ...] | None = None
    """Tags beside our own; Proxmox keeps them in lower case, sorted."""
    on_boot: bool | None = None
    """Start with the node."""
    startup: Startup | None = None
    """Order and delays with the node's boot and shutdown."""
    protection: bool | None = None
    """Forbid to remove the container or its disks."""
    description: Description | None = None
    """Notes shown in the Proxmox interface."""
    shutdown_timeout: Duration = timedelta(seconds=60)
    """How long an orderly shutdown may take."""


class ContainerSpec(Spec, ContainerShape):
    """One LXC container."""

    ctid: CtId
    """Container id, unique in the cluster."""
    node: NodeName
    """Node that it lives on."""
    hostname: HostName | None = None
    """Host name; the object's name if it is left out."""
    network: NetworkInterface | None = None
    """Its first interface, net0."""
    state: PowerState = PowerState.RUNNING
    """Whether it shall run."""
    incarnation: Incarnation | None = None
    """Which attempt of a release it is made for; another one is another container. Written by releases."""
    replace: Recipe | None = None
    """Stamp of the container that may be destroyed to make room for this one. Written by releases."""
    restart: Incarnation | None = None
    """Which restart was asked for last; another word restarts it once. Written by releases."""

    def selects(self) -> tuple[Selection, ...]:
        """Select the endpoint."""
        return (Selection(self.endpoint, "proxmox"),)

    def claims(self, name: str) -> tuple[Claim, ...]:
        """Claim the container id, and the address if there is one."""
        found = [Claim(f"CT {self.ctid} on {self.endpoint}", ("spec", "ctid"))]
        if self.network is not None:
            address = self.network.address.split("/")[0]
            found.append(Claim(f"address {address} on {self.endpoint}", ("spec", "network", "address")))
        return tuple(found)


class ContainerStatus(Model):
    """What was last seen of a container."""

    node: NodeName | None = None
    """Node that it was found on; absent while there is no such container."""
    state: str | None = None
    """running or stopped, as Proxmox says."""
    recipe: str | None = None
    """Stamp that says what it was made from."""
    adopted: bool = False
    """Whether it was made by somebody else and taken over."""
    pending: tuple[str, ...] = ()
    """Fields that take effect with the next start."""
    task: str | None = None
    """Proxmox task that is under way, by its UPID."""
    restarted: str | None = None
    """Which restart was done last."""
    stuck: str | None = None
    """The orderly shutdown that did not end while it runs; absent once it is stopped."""
