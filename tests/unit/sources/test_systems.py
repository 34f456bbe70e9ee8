"""Objects select endpoints of the settings, of the type that their kind needs, or are refused."""

from pathlib import Path

from crds.kinds import FILE_KINDS
from crds.meta import Key
from daemon.sources.assembly import assemble
from daemon.sources.check import check_paths
from daemon.sources.snapshot import Snapshot
from tests.builders_source import container_yaml, content_of

EXAMPLE = Path(__file__).parents[3] / "examples/psa-platform"
SYSTEMS = {"pve": "proxmox", "edge": "haproxy", "psa-redis": "redis", "old": "redis", "psa-mq": "rabbitmq"}
CACHE = Key("RedisInstance", "cache")
SERVICE = """\
apiVersion: psa.platform/v1
kind: Service
metadata: {name: psa-crm}
spec:
  health: {path: /health}
  backend: {endpoint: pve, name: api_backend}
  container:
    endpoint: edge
    template: "local:vztmpl/psa-crm_{version}_amd64.tar.zst"
    cores: 2
    memory: 4Gi
    network: {bridge: vmbr1}
  colors:
    blue: {ctid: 101, node: pve1, port: 8000, address: 10.0.20.11/24}
    green: {ctid: 1101, node: pve2, port: 8000, address: 10.0.20.12/24}
"""


def selecting(kind: str, endpoint: str) -> str:
    head = f"apiVersion: psa.platform/v1\nkind: {kind}\nmetadata: {{name: cache}}\n"
    return f"{head}spec:\n  endpoint: {endpoint}\n"


def read(text: str, systems: dict[str, str] | None) -> Snapshot:
    return assemble([content_of(text)], "digest", systems)


def test_an_endpoint_of_another_type_is_refused_where_it_stands_with_those_that_would_do() -> None:
    found = read(selecting("RedisInstance", "psa-mq"), SYSTEMS)
    assert found.objects == ()
    assert found.refused[CACHE].rendered == (
        'web.yaml:5:13: error: spec.endpoint: the endpoint "psa-mq" is of type rabbitmq, redis is needed\n'
        "  5 |   endpoint: psa-mq\n"
        "    |             ^^^^^^\n"
        "    = allowed: old, psa-redis"
    )


def test_an_endpoint_that_the_settings_do_not_have_is_refused_with_the_nearest_one() -> None:
    found = read(selecting("RedisInstance", "psa-rediss"), SYSTEMS)
    assert found.objects == ()
    assert found.refused[CACHE].rendered == (
        'web.yaml:5:13: error: spec.endpoint: the settings have no endpoint "psa-rediss"\n'
        "  5 |   endpoint: psa-rediss\n"
        "    |             ^^^^^^^^^^\n"
        '    = did you mean "psa-redis"?\n'
        "    = allowed: old, psa-redis"
    )


def test_settings_without_any_endpoint_of_the_type_say_so() -> None:
    (problem,) = read(selecting("Elasticsearch", "psa-mq"), SYSTEMS).problems
    assert problem.message.endswith("is needed; the settings have none of type elasticsearch")


def test_a_service_is_told_of_both_its_endpoints() -> None:
    found = read(SERVICE, SYSTEMS)
    backend, container = found.problems
    assert (backend.line, container.line) == (6, 8)
    assert backend.message == (
        'spec.backend.endpoint: the endpoint "pve" is of type proxmox, haproxy is needed; allowed: edge'
    )
    assert container.message == (
        'spec.container.endpoint: the endpoint "edge" is of type haproxy, proxmox is needed; allowed: pve'
    )
    assert set(found.refused) == {Key("Service", "psa-crm")}


def test_what_fits_is_declared_and_so_is_anything_where_the_settings_are_not_known() -> None:
    assert len(read(container_yaml(), SYSTEMS).objects) == 1
    assert len(read(selecting("RedisInstance", "psa-redis"), SYSTEMS).objects) == 1
    assert len(read(selecting("RedisInstance", "psa-mq"), None).objects) == 1


def test_each_kind_that_has_an_endpoint_selects_it_with_a_type_that_settings_have() -> None:
    types: dict[str, set[str]] = {}
    for declared in check_paths([EXAMPLE]).objects:
        types.setdefault(declared.key.kind, set()).update(each.type for each in declared.spec.selects())
    assert types == {
        "Container": {"proxmox"},
        "Elasticsearch": {"elasticsearch"},
        "LoadBalancer": {"haproxy"},
        "PostgresCluster": {"postgres"},
        "RabbitMQ": {"rabbitmq"},
        "RedisInstance": {"redis"},
        "Release": set(),
        "Service": {"haproxy", "proxmox"},
    }
    assert set(types) == set(FILE_KINDS)
