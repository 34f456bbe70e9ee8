"""The kinds that this version has; nothing else knows the list."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from crds.balancer import LoadBalancerSpec, LoadBalancerStatus, TrafficSplitSpec, TrafficSplitStatus
from crds.container import ContainerSpec, ContainerStatus
from crds.elasticsearch import ElasticsearchSpec, ElasticsearchStatus
from crds.meta import Model, Spec
from crds.postgres import PostgresClusterSpec, PostgresClusterStatus
from crds.rabbitmq import RabbitMQSpec, RabbitMQStatus
from crds.redis import RedisInstanceSpec, RedisInstanceStatus
from crds.release import ReleaseMemo, ReleaseSpec, ReleaseStatus
from crds.service import ServiceSpec, ServiceStatus

#: Kinds that files may declare.
FILE_KINDS: Final[Mapping[str, type[Spec]]] = MappingProxyType(
    {
        "Container": ContainerSpec,
        "Elasticsearch": ElasticsearchSpec,
        "LoadBalancer": LoadBalancerSpec,
        "PostgresCluster": PostgresClusterSpec,
        "RabbitMQ": RabbitMQSpec,
        "RedisInstance": RedisInstanceSpec,
        "Release": ReleaseSpec,
        "Service": ServiceSpec,
    }
)
#: Kinds that only other objects declare.
INTERNAL_KINDS: Final[Mapping[str, type[Spec]]] = MappingProxyType({"TrafficSplit": TrafficSplitSpec})
KINDS: Final[Mapping[str, type[Spec]]] = MappingProxyType({**FILE_KINDS, **INTERNAL_KINDS})
#: What each kind reports.
STATUSES: Final[Mapping[str, type[Model]]] = MappingProxyType(
    {
        "Container": ContainerStatus,
        "Elasticsearch": ElasticsearchStatus,
        "LoadBalancer": LoadBalancerStatus,
        "PostgresCluster": PostgresClusterStatus,
        "RabbitMQ": RabbitMQStatus,
        "RedisInstance": RedisInstanceStatus,
        "Release": ReleaseStatus,
        "Service": ServiceStatus,
        "TrafficSplit": TrafficSplitStatus,
    }
)
#: What a kind writes down for itself.
MEMOS: Final[Mapping[str, type[Model]]] = MappingProxyType({"Release": ReleaseMemo})
