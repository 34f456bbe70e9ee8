"""What a release's first check reads: memory of nodes, room on storages, templates, what is allocated."""

import pytest

from lab.pve.cluster import PveCluster
from lab.pve.faults import Fault, MemoryShort, StorageShort
from lab.pve.message import Json
from lab.pve.setup import Setup, SizeSetup, apply
from tests.lab.pve_site import TEMPLATE, Site

_GIB = 1 << 30


@pytest.fixture
def site() -> Site:
    return Site()


def _number(value: Json) -> float:
    assert isinstance(value, int | float)
    return value


def _memory_free(site: Site, node: str) -> float:
    """Free memory of a node, by both ways to ask for it, which have to agree."""
    memory = site.row(f"/nodes/{node}/status")["memory"]
    assert isinstance(memory, dict)
    assert _number(memory["total"]) == _number(memory["used"]) + _number(memory["free"])
    (row,) = [row for row in site.rows("/cluster/resources", type="node") if row["node"] == node]
    assert row["maxmem"] == memory["total"]
    assert row["mem"] == memory["used"]
    return _number(memory["free"])


def _storage_free(site: Site, node: str, storage: str) -> float:
    status = site.row(f"/nodes/{node}/storage/{storage}/status")
    (row,) = [row for row in site.rows(f"/nodes/{node}/storage") if row["storage"] == storage]
    resources = site.rows("/cluster/resources", type="storage")
    (resource,) = [each for each in resources if each["id"] == f"storage/{node}/{storage}"]
    free = _number(status["avail"])
    assert _number(status["total"]) == _number(status["used"]) + free
    assert (row["total"], row["avail"]) == (status["total"], status["avail"])
    assert row["used_fraction"] == pytest.approx(_number(status["used"]) / _number(status["total"]))
    assert (resource["maxdisk"], resource["disk"]) == (status["total"], status["used"])
    return free


def test_a_container_that_runs_takes_memory_of_its_node(site: Site) -> None:
    before, elsewhere = _memory_free(site, "pve1"), _memory_free(site, "pve2")
    site.exit_of(site.create())
    assert _memory_free(site, "pve1") == before
    site.exit_of(site.ask("POST", "/nodes/pve1/lxc/101/status/start"))
    assert _memory_free(site, "pve1") < before
    assert _memory_free(site, "pve2") == elsewhere


def test_a_containers_disk_takes_room_on_its_nodes_storage_until_it_is_destroyed(site: Site) -> None:
    before, elsewhere = _storage_free(site, "pve1", "local"), _storage_free(site, "pve2", "local")
    site.exit_of(site.create())
    assert _storage_free(site, "pve1", "local") < before
    assert _storage_free(site, "pve2", "local") == elsewhere
    site.exit_of(site.ask("DELETE", "/nodes/pve1/lxc/101"))
    assert _storage_free(site, "pve1", "local") == before


def test_what_guests_may_use_is_told(site: Site) -> None:
    site.exit_of(site.create(memory=4096, rootfs="local:20"))
    site.wait(30)
    (row,) = site.rows("/cluster/resources", type="vm")
    assert (row["maxmem"], row["maxdisk"]) == (4 * _GIB, 20 * _GIB)
    assert row["node"] == "pve1"


def test_a_node_can_be_short_of_memory(site: Site) -> None:
    elsewhere = _memory_free(site, "pve1")
    number = site.put(MemoryShort("pve2", free_mib=1024))
    assert _memory_free(site, "pve2") == _GIB
    assert _memory_free(site, "pve1") == elsewhere
    site.cluster.remove_fault(number, site.now)
    assert _memory_free(site, "pve2") > _GIB


def test_a_storage_can_be_short_on_one_node_or_on_all(site: Site) -> None:
    site.put(StorageShort("local", free_mib=2048, node="pve2"))
    assert _storage_free(site, "pve2", "local") == 2 * _GIB
    assert _storage_free(site, "pve1", "local") > 2 * _GIB
    site.put(StorageShort("local", free_mib=0))
    assert _storage_free(site, "pve1", "local") == _storage_free(site, "pve2", "local") == 0
    site.cluster.clear_faults(site.now)
    assert _storage_free(site, "pve2", "local") > 2 * _GIB


def test_a_shortage_never_makes_more_than_there_is(site: Site) -> None:
    before = _memory_free(site, "pve1"), _storage_free(site, "pve1", "local")
    site.put(MemoryShort("pve1", free_mib=1 << 30))
    site.put(StorageShort("local", free_mib=1 << 30))
    assert (_memory_free(site, "pve1"), _storage_free(site, "pve1", "local")) == before


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (MemoryShort("pve7", free_mib=1), "no node pve7; there is pve1, pve2, pve3"),
        (StorageShort("lcoal", free_mib=1), "no storage lcoal; there is local, shared"),
    ],
)
def test_a_shortage_of_what_is_not_there_is_refused(site: Site, fault: Fault, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        site.put(fault)


def test_a_shortage_outlives_the_simulator(site: Site) -> None:
    site.put(MemoryShort("pve2", free_mib=512))
    site.cluster = PveCluster.from_json(site.cluster.to_json())
    site.root = site.cluster.log_in("root@pam", site.now)
    assert _memory_free(site, "pve2") == _GIB // 2


def test_a_lab_is_as_big_as_it_is_set_up(site: Site) -> None:
    apply(site.cluster, Setup(size=SizeSetup(32, 128 * _GIB, 2048 * _GIB)))
    assert site.row("/nodes/pve3/status")["cpuinfo"]
    assert 120 * _GIB < _memory_free(site, "pve3") < 128 * _GIB
    assert _storage_free(site, "pve1", "local") > 1024 * _GIB


def test_templates_come_and_go(site: Site) -> None:
    def there(node: str) -> list[Json]:
        rows = site.rows(f"/nodes/{node}/storage/local/content", content="vztmpl")
        return [row["volid"] for row in rows]

    site.cluster.add_template("local", "psa-crm_1.3.0_amd64.tar.zst")
    assert there("pve2") == [f"local:vztmpl/{TEMPLATE}", "local:vztmpl/psa-crm_1.3.0_amd64.tar.zst"]
    assert site.cluster.remove_template("local:vztmpl/psa-crm_1.3.0_amd64.tar.zst")
    assert there("pve2") == there("pve1") == [f"local:vztmpl/{TEMPLATE}"]
    assert not site.cluster.remove_template("local:vztmpl/psa-crm_1.3.0_amd64.tar.zst")
