"""examples/psa-platform is the platform of the design: every figure is compared with the design's table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from crds.container import ContainerSpec
from crds.kinds import FILE_KINDS
from crds.meta import Key, Spec
from crds.service import Color, ServiceSpec
from daemon.sources.check import check_paths

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/psa-platform"


@dataclass(frozen=True, slots=True)
class Figures:
    """A row of the design's table of containers; None where it gives no figure."""

    ctid: int
    cores: int | None = None
    memory_gib: int | None = None
    disk_gib: int | None = None


SERVICES = {
    "psa-api-gateway": Figures(100, 2, 4, 10),
    "psa-crm": Figures(101, 2, 4, 20),
    "psa-tickets": Figures(102, 4, 8, 50),
    "psa-billing": Figures(103, 2, 4, 20),
    "psa-projects": Figures(104),
    "psa-assets": Figures(105),
    "psa-reports": Figures(106),
    "psa-vcio": Figures(107),
    "psa-workflows": Figures(108),
    "psa-ai": Figures(109),
    "psa-auth": Figures(110),
}
DATA = {
    "psa-db-master": Figures(200, 8, 32, 500),
    "psa-db-replica-1": Figures(201, 8, 32, 500),
    "psa-redis": Figures(210, 2, 4, 10),
    "psa-rabbitmq": Figures(220, 2, 4, 20),
    "psa-elasticsearch": Figures(230, 4, 16, 200),
}
#: What lies in the data services, and their containers.
DATA_SERVICES = {
    Key("Elasticsearch", "psa-elasticsearch"): {Key("Container", "psa-elasticsearch")},
    Key("PostgresCluster", "psa-db"): {
        Key("Container", "psa-db-master"),
        Key("Container", "psa-db-replica-1"),
    },
    Key("RabbitMQ", "psa-rabbitmq"): {Key("Container", "psa-rabbitmq")},
    Key("RedisInstance", "psa-redis"): {Key("Container", "psa-redis")},
}
#: Addresses that the design gives: its firewall rules and its replication name them.
ADDRESSES = {"psa-db-master": "10.0.30.10", "psa-db-replica-1": "10.0.30.11", "psa-redis": "10.0.30.12"}


def documents() -> dict[Key, tuple[Path, dict[str, Any]]]:
    found: dict[Key, tuple[Path, dict[str, Any]]] = {}
    for path in sorted(EXAMPLE.rglob("*.yaml")):
        for each in yaml.safe_load_all(path.read_text()):
            key = Key(each["kind"], each["metadata"]["name"])
            assert key not in found, f"{key} stands in two files"
            found[key] = (path, each)
    return found


DOCUMENTS = documents()


def spec_of(key: Key) -> Spec:
    return FILE_KINDS[key.kind].model_validate(DOCUMENTS[key][1]["spec"])


def service(name: str) -> ServiceSpec:
    found = spec_of(Key("Service", name))
    assert isinstance(found, ServiceSpec)
    return found


def container(name: str) -> ContainerSpec:
    found = spec_of(Key("Container", name))
    assert isinstance(found, ContainerSpec)
    return found


def assert_figure(path: Path, field: str, found: int | None, asked: int | None) -> None:
    line = next(each for each in path.read_text().splitlines() if each.strip().startswith(f"{field}:"))
    if asked is None:
        assert found is not None
        assert line.endswith("# ours"), f"{path.name}: the design gives no {field}"
    else:
        assert found == asked
        assert "# ours" not in line


def test_the_file_parser_has_nothing_to_object_to() -> None:
    snapshot = check_paths([EXAMPLE])

    assert "\n".join(problem.rendered for problem in snapshot.problems) == ""
    assert {declared.key for declared in snapshot.objects} == DOCUMENTS.keys()


def test_it_is_exactly_the_sixteen_containers_what_they_hold_their_balancer_and_their_release() -> None:
    names = {str(key) for key in DOCUMENTS}

    assert names == (
        {f"Service/{name}" for name in SERVICES}
        | {f"Container/{name}" for name in DATA}
        | {"LoadBalancer/edge", "Release/psa-suite"}
        | {str(key) for key in DATA_SERVICES}
    )


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_the_design_s_figures(name: str) -> None:
    asked, spec, path = SERVICES[name], service(name), DOCUMENTS[Key("Service", name)][0]

    assert spec.colors.blue.ctid == asked.ctid
    assert spec.colors.green.ctid == asked.ctid + 1000
    assert_figure(path, "cores", spec.container.cores, asked.cores)
    memory = None if asked.memory_gib is None else asked.memory_gib * 1024
    assert_figure(path, "memory", spec.container.memory, memory)
    assert_figure(path, "disk", spec.container.disk, asked.disk_gib)


@pytest.mark.parametrize("name", DATA)
def test_a_data_service_has_the_design_s_figures(name: str) -> None:
    asked, spec, path = DATA[name], container(name), DOCUMENTS[Key("Container", name)][0]

    assert spec.ctid == asked.ctid
    assert_figure(path, "cores", spec.cores, asked.cores)
    assert asked.memory_gib is not None
    assert_figure(path, "memory", spec.memory, asked.memory_gib * 1024)
    assert_figure(path, "disk", spec.disk, asked.disk_gib)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_hangs_in_vlan_20_as_the_base_asks(name: str) -> None:
    spec = service(name)
    shape = spec.container

    assert (shape.network.bridge, shape.network.vlan, shape.network.gateway) == ("vmbr1", 20, "10.0.20.1")
    assert (shape.unprivileged, shape.swap, shape.searchdomain, shape.on_boot) == (True, 0, "psa.local", True)
    assert shape.features is not None
    assert shape.features.nesting is True
    assert shape.nameserver is not None
    assert f"/{name}_{{version}}_" in shape.template.replace("vztmpl/", "/")
    for color, port in ((Color.BLUE, 3000), (Color.GREEN, 3001)):
        assert spec.colors[color].port == port
        assert spec.colors[color].address.startswith("10.0.20.")
        assert spec.colors[color].address.endswith("/24")


@pytest.mark.parametrize("name", DATA)
def test_a_data_service_hangs_in_vlan_30_as_the_base_asks(name: str) -> None:
    spec = container(name)

    assert spec.network is not None
    assert (spec.network.bridge, spec.network.vlan, spec.network.gateway) == ("vmbr1", 30, "10.0.30.1")
    assert spec.network.address.startswith(ADDRESSES.get(name, "10.0.30."))
    assert (spec.unprivileged, spec.swap, spec.searchdomain, spec.on_boot) == (True, 0, "psa.local", True)
    assert spec.features is not None
    assert spec.features.nesting is True


@pytest.mark.parametrize("key", DATA_SERVICES, ids=str)
def test_what_a_data_service_holds_waits_for_its_containers(key: Key) -> None:
    assert set(spec_of(key).depends_on) == DATA_SERVICES[key]


def test_nothing_is_claimed_twice() -> None:
    claims = [(claim.target, str(key)) for key in DOCUMENTS for claim in spec_of(key).claims(key.name)]
    targets = [target for target, _ in claims]

    assert sorted(targets) == sorted(set(targets))


@pytest.mark.parametrize("name", SERVICES)
def test_the_colors_of_a_service_do_not_share_a_node(name: str) -> None:
    slots = service(name).colors

    assert slots.blue.node != slots.green.node


def test_the_three_nodes_carry_it_and_the_databases_are_apart() -> None:
    nodes = {container(name).node for name in DATA}
    nodes |= {service(name).colors[color].node for name in SERVICES for color in Color}

    assert nodes == {"pve1", "pve2", "pve3"}
    assert container("psa-db-master").node != container("psa-db-replica-1").node


def test_data_services_start_before_applications_and_the_entry_last() -> None:
    data = {name: startup.order for name in DATA if (startup := container(name).startup) is not None}
    rest = {
        name: startup.order for name in SERVICES if (startup := service(name).container.startup) is not None
    }

    assert set(data) == set(DATA)
    assert set(rest) == set(SERVICES)
    assert max(data.values()) < min(rest.values())
    assert max(rest, key=lambda name: rest[name]) == "psa-api-gateway"
    assert min(data, key=lambda name: data[name]) == "psa-db-master"


@pytest.mark.parametrize("key", DOCUMENTS, ids=str)
def test_what_a_file_depends_on_is_in_the_example(key: Key) -> None:
    spec = spec_of(key)

    assert set(spec.depends_on) <= DOCUMENTS.keys()
    if key.kind == "Service":
        assert all(each.kind == "Container" for each in spec.depends_on), "data services first"
        assert spec.depends_on


def test_only_the_gateway_stands_behind_haproxy_and_it_calls_all_others() -> None:
    behind = {name: found for name in SERVICES if (found := service(name).backend) is not None}

    assert {name: (found.endpoint, found.name) for name, found in behind.items()} == {
        "psa-api-gateway": ("edge", "api_backend")
    }
    assert set(service("psa-api-gateway").peers) == SERVICES.keys() - {"psa-api-gateway"}


@pytest.mark.parametrize("name", SERVICES)
def test_blue_is_live_at_first(name: str) -> None:
    initial = service(name).initial

    assert initial is not None
    assert (initial.color, initial.version) == (Color.BLUE, "1.0.0")
