"""What is verified of a broker and not set: version, nodes, alarms, partitions, limits. Pure."""

from collections.abc import Iterator
from typing import Final

from crds.rabbitmq import RabbitMQSpec
from crds.versions import is_older
from reconcilers.rabbitmq.model import Broker, BrokerNode
from reconcilers.rabbitmq.steps import Trouble

#: What this program has been run against, and the first whose depths come without statistics.
OLDEST: Final = "3.10"
_MEBIBYTE: Final = 1024 * 1024


def too_old(broker: Broker) -> Trouble | None:
    """Return reason and message if this program cannot work with the version."""
    if not is_older(broker.version, OLDEST):
        return None
    text = f"it runs RabbitMQ {broker.version}, this program needs at least {OLDEST}"
    return "VersionTooLow", text


def partitions(broker: Broker) -> tuple[str, ...]:
    """Return a line for each node that does not see others that run."""
    return tuple(
        f"{node.name} does not see {', '.join(node.partitions)}" for node in broker.nodes if node.partitions
    )


def alarms(broker: Broker) -> tuple[str, ...]:
    """Return a line for each alarm; all publishers are blocked while there is one."""
    return tuple(line for node in broker.nodes for _, line in _alarms(node))


def not_ready(spec: RabbitMQSpec, broker: Broker) -> Iterator[Trouble]:
    """Yield what is wrong and cannot be changed through the management API."""
    floor = spec.minimum_version
    if floor is not None and is_older(broker.version, floor):
        yield "VersionTooLow", f"it runs RabbitMQ {broker.version}, at least {floor} is asked"
    for line in partitions(broker):
        yield "Partitioned", f"{line}: nothing is changed until a person has decided which side counts"
    for node in broker.nodes:
        yield from _alarms(node)
    running = [node.name for node in broker.nodes if node.is_running]
    asked = spec.nodes.running
    if asked is not None and len(running) < asked:
        yield "NodesMissing", f"{len(running)} nodes run, {asked} are asked: {', '.join(running)}"
    for node in broker.nodes:
        yield from _limits(spec, node)


def degraded(broker: Broker) -> Iterator[Trouble]:
    """Yield what it lacks while it works."""
    for node in broker.nodes:
        if not node.is_running:
            yield "NodeDown", f"{node.name} is down"


def _alarms(node: BrokerNode) -> Iterator[Trouble]:
    if node.memory_alarm:
        limit = _bytes(node.memory_limit_bytes)
        yield "MemoryAlarm", f"{node.name} uses more memory than {limit}: all publishers are blocked"
    if node.disk_alarm:
        limit = _bytes(node.disk_limit_bytes)
        yield "DiskAlarm", f"{node.name} has less free disk than {limit}: all publishers are blocked"


def _bytes(amount: int | None) -> str:
    return "its limit" if amount is None else f"its limit of {amount} bytes"


def _limits(spec: RabbitMQSpec, node: BrokerNode) -> Iterator[Trouble]:
    """Compare limits that a restart takes back to what the broker's own file says."""
    asked = spec.nodes
    for name, setting, wanted, found in (
        ("memoryLimit", "vm_memory_high_watermark.absolute", asked.memory_limit, node.memory_limit_bytes),
        ("diskFreeLimit", "disk_free_limit.absolute", asked.disk_free_limit, node.disk_limit_bytes),
    ):
        if wanted is not None and found is not None and found != wanted * _MEBIBYTE:
            text = (
                f"{name} of {node.name} is {found} bytes, {wanted}MiB is asked:"
                f" {setting} = {wanted}MiB in its rabbitmq.conf"
            )
            yield "LimitDiffers", text
