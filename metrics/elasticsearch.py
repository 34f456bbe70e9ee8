"""Elasticsearch clusters: health, shards, read-only indices and disks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry

from metrics.looks import Family, Moments, Series

COLORS: Final = ("green", "yellow", "red")


@dataclass(frozen=True, slots=True)
class DiskReading:
    """The data path of a node."""

    used_bytes: float
    size_bytes: float


@dataclass(frozen=True, slots=True)
class ElasticsearchReading:
    """One look at a cluster; what was not told is None."""

    color: str
    """One of COLORS."""
    nodes: int
    unassigned_shards: int
    pending_tasks: int | None = None
    read_only_indices: int | None = None
    """Indices that take no writes because a disk is full, or because somebody said so."""
    ilm_errors: int | None = None
    """Indices at which a step of their lifecycle failed."""
    disks: Mapping[str, DiskReading] = field(default_factory=dict)
    """By node."""
    disk_high_ratio: float | None = None
    """Part of a disk from which on shards move away, cluster.routing.allocation.disk.watermark.high."""


class ElasticsearchMetrics:
    """All families of Elasticsearch, in a registry of the caller's; its reconciler tells each look."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._moments = Moments(
            registry,
            "psa_elasticsearch",
            "cluster",
            Family("up", "Whether a node answers"),
            Family("health", "1 for the colour that the cluster's health has", ("color",)),
            Family("nodes", "Nodes of the cluster"),
            Family("unassigned_shards", "Shards that no node holds"),
            Family("pending_tasks", "Changes of the cluster that wait"),
            Family("read_only_indices", "Indices that take no writes"),
            Family("ilm_errors", "Indices at which a step of their lifecycle failed"),
            Family("disk_used_bytes", "Used disk of a node", ("node",)),
            Family("disk_size_bytes", "Size of a node's disk", ("node",)),
            Family("disk_high_ratio", "Part of a disk from which on shards move away"),
        )

    def looked(self, cluster: str, reading: ElasticsearchReading) -> None:
        """Take one look at the object *cluster*."""
        values: dict[Series, float | None] = {
            ("up",): 1.0,
            ("nodes",): reading.nodes,
            ("unassigned_shards",): reading.unassigned_shards,
            ("pending_tasks",): reading.pending_tasks,
            ("read_only_indices",): reading.read_only_indices,
            ("ilm_errors",): reading.ilm_errors,
            ("disk_high_ratio",): reading.disk_high_ratio,
        }
        for color in COLORS:
            values["health", color] = color == reading.color
        for node, disk in reading.disks.items():
            values["disk_used_bytes", node] = disk.used_bytes
            values["disk_size_bytes", node] = disk.size_bytes
        self._moments.tell(cluster, values)

    def unseen(self, cluster: str) -> None:
        """Drop the figures of a cluster that did not answer."""
        self._moments.tell(cluster, {("up",): 0.0})

    def forget(self, cluster: str) -> None:
        """Remove the series of an object."""
        self._moments.forget(cluster)
