import pytest

from lab.pve.cluster import PveCluster
from lab.pve.faults import (
    Deaf,
    FailTask,
    Flock,
    Lock,
)
from tests.lab.pve_site import NET0, START, TEMPLATE, Site


@pytest.fixture
def site() -> Site:
    return Site()


def test_creation_shows_nothing_but_its_lock_until_the_task_ends(site: Site) -> None:
    answer = site.create()
    config = site.row("/nodes/pve1/lxc/101/config")
    assert (set(config), config["lock"]) == ({"lock", "digest"}, "create")
    assert site.exit_of(answer) == "OK"
    assert "lock" not in site.row("/nodes/pve1/lxc/101/config")


def test_creation_fills_in_defaults_and_normal_forms(site: Site) -> None:
    path = site.created(
        tags="Zed;alpha,Beta alpha", description="line", rootfs="local:0.1", mp0="shared:0.5,mp=/d"
    )
    config = site.row(path + "/config")
    assert config["tags"] == "alpha;beta;zed"
    assert config["description"] == "line\n"
    assert config["rootfs"] == "local:101/vm-101-disk-0.raw,size=102M"
    assert config["mp0"] == "shared:101/vm-101-disk-0.raw,mp=/d,size=512M"
    assert str(config["net0"]).startswith("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:")
    assert str(config["net0"]).endswith(",ip=127.9.1.4/24,type=veth")
    assert (config["hostname"], config["memory"], config["swap"], config["ostype"]) == (
        "CT101",
        512,
        512,
        "debian",
    )


@pytest.mark.parametrize(("version", "shown"), [("8.4", None), ("9.2", 1)])
def test_new_containers_are_unprivileged_from_version_9_on(version: str, shown: int | None) -> None:
    site = Site(version)
    assert site.row(site.created() + "/config").get("unprivileged") == shown


def test_a_vmid_in_use_is_refused_on_every_node_at_once(site: Site) -> None:
    site.create(node="pve1")
    refused = site.create(node="pve3")
    assert (refused.status, refused.reason) == (500, "CT 101 already exists on node 'pve1'")


def test_creation_from_a_template_that_is_not_there_fails_in_the_task_and_leaves_nothing(site: Site) -> None:
    exitstatus = site.exit_of(site.create(ostemplate="local:vztmpl/nope.tar.zst"))
    assert exitstatus == "unable to create CT 101 - volume 'local:vztmpl/nope.tar.zst' does not exist"
    assert site.cluster.containers() == ()
    assert not [volume for volume in site.cluster.world.volumes if volume.vmid == 101]


def test_no_answer_tells_what_template_a_container_came_from(site: Site) -> None:
    path = site.started()
    shown = [site.row(path + "/config"), site.row(path + "/status/current"), site.rows("/cluster/resources")]
    assert TEMPLATE not in repr(shown)
    assert site.cluster.running()[0].ostemplate == site.template


def test_a_running_container_is_known_with_its_address_and_tags(site: Site) -> None:
    site.started(tags="web;v2", hostname="front-1")
    (running,) = site.cluster.running()
    assert (running.vmid, running.hostname, running.tags, running.addresses) == (
        101, "front-1", ("v2", "web"), ("127.9.1.4",),
    )  # fmt: skip


def test_the_running_version_grows_with_every_start_and_stop(site: Site) -> None:
    path = site.started()
    before = site.cluster.running_version
    site.exit_of(site.ask("POST", path + "/status/stop"))
    assert site.cluster.running_version > before
    assert site.cluster.running() == ()


def test_starting_what_does_not_exist_answers_200_and_the_task_fails(site: Site) -> None:
    exitstatus = site.exit_of(site.ask("POST", "/nodes/pve1/lxc/999/status/start"))
    assert exitstatus == "Configuration file 'nodes/pve1/lxc/999.conf' does not exist"


@pytest.mark.parametrize(
    ("action", "reason"),
    [("stop", "CT 101 not running"), ("shutdown", "CT 101 not running"), ("reboot", "VM 101 not running")],
)
def test_what_is_off_cannot_be_switched_off(site: Site, action: str, reason: str) -> None:
    path = site.created()
    refused = site.ask("POST", f"{path}/status/{action}")
    assert (refused.status, refused.reason) == (500, reason)


def test_a_reboot_cuts_the_power_of_what_does_not_shut_down_in_time_and_starts_it_again(site: Site) -> None:
    path = site.started()
    before = site.cluster.running()[0]
    site.put(Deaf(101))
    upid = site.ask("POST", path + "/status/reboot", timeout=30)
    begun = site.now
    assert site.exit_of(upid) == "OK"
    assert site.now - begun >= 30
    assert site.cluster.running() != (before,)


def test_a_running_container_takes_memory_at_once_and_keeps_the_nameserver_pending(site: Site) -> None:
    path = site.started()
    site.data("PUT", path + "/config", memory=256, nameserver="9.9.9.9")
    pending = {row["key"]: row for row in site.rows(path + "/pending")}
    assert pending["memory"] == {"key": "memory", "value": 256}
    assert pending["nameserver"] == {"key": "nameserver", "pending": "9.9.9.9"}
    assert "nameserver" not in site.row(path + "/config", current=1)
    assert site.row(path + "/config")["nameserver"] == "9.9.9.9"


def test_a_pending_change_can_be_reverted(site: Site) -> None:
    path = site.started()
    site.data("PUT", path + "/config", tty=4)
    site.data("PUT", path + "/config", revert="tty")
    assert "tty" not in site.row(path + "/config")


def test_pending_changes_are_applied_at_start_even_when_the_start_fails(site: Site) -> None:
    path = site.started()
    site.data("PUT", path + "/config", dev0="/dev/nothing", nameserver="9.9.9.9")
    assert site.exit_of(site.ask("POST", path + "/status/reboot")) == "Device /dev/nothing does not exist"
    assert site.row(path + "/config", current=1)["nameserver"] == "9.9.9.9"


def test_a_put_that_answers_500_for_an_unknown_bridge_is_stored_all_the_same(site: Site) -> None:
    path = site.created()
    answer = site.ask("PUT", path + "/config", net0="name=eth0,bridge=nobr")
    assert (answer.status, answer.reason) == (500, "bridge 'nobr' does not exist")
    assert "bridge=nobr" in str(site.row(path + "/config")["net0"])
    assert site.ask("PUT", path + "/config", memory=256).status == 500
    assert site.row(path + "/config")["memory"] == 256


def test_a_refused_put_stores_nothing(site: Site) -> None:
    path = site.created()
    before = site.row(path + "/config")
    assert site.ask("PUT", path + "/config", memory=256, mp0="relative,mp=/x").status == 500
    assert site.row(path + "/config") == before


def test_a_put_without_hwaddr_changes_the_address_of_the_card(site: Site) -> None:
    path = site.created()
    before = site.row(path + "/config")["net0"]
    site.data("PUT", path + "/config", net0=NET0)
    assert site.row(path + "/config")["net0"] != before


def test_empty_tags_are_stored_as_a_blank(site: Site) -> None:
    path = site.created(tags="a")
    site.data("PUT", path + "/config", tags="")
    assert site.row(path + "/config")["tags"] == " "


def test_asking_for_a_disk_again_allocates_a_new_one(site: Site) -> None:
    path = site.created(mp0="local:1,mp=/d")
    site.data("PUT", path + "/config", mp0="local:1,mp=/d")
    config = site.row(path + "/config")
    assert config["mp0"] == "local:101/vm-101-disk-2.raw,mp=/d,size=1G"
    assert config["unused0"] == "local:101/vm-101-disk-1.raw"


def test_an_old_digest_is_a_conflict(site: Site) -> None:
    path = site.created()
    digest = str(site.row(path + "/config")["digest"])
    site.data("PUT", path + "/config", cores=2, digest=digest)
    refused = site.ask("PUT", path + "/config", cores=3, digest=digest)
    assert refused.reason == "detected modified configuration - file changed by other user? Try again."


def test_a_locked_container_refuses_changes_and_its_start_fails_in_the_task(site: Site) -> None:
    path = site.created()
    number = site.put(Lock(101, "backup"))
    assert site.ask("PUT", path + "/config", cores=2).reason == "CT is locked (backup)"
    assert site.ask("DELETE", path).reason == "CT is locked (backup)"
    assert site.exit_of(site.ask("POST", path + "/status/start")) == "CT is locked (backup)"
    site.cluster.remove_fault(number, site.now)
    assert site.ask("PUT", path + "/config", cores=2).status == 200


def test_a_change_during_creation_waits_for_its_end(site: Site) -> None:
    site.create()
    answer = site.ask("PUT", "/nodes/pve1/lxc/101/config", cores=1)
    assert (answer.status, answer.delay_s) == (200, 2.0)
    site.wait(answer.delay_s)
    assert site.row("/nodes/pve1/lxc/101/config")["cores"] == 1


def test_a_lock_file_that_is_held_too_long_times_out_after_ten_seconds(site: Site) -> None:
    path = site.created()
    site.put(Flock(101, seconds=60))
    answer = site.ask("PUT", path + "/config", cores=1)
    assert answer.reason == "can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout"
    assert answer.delay_s == 10.0


def test_protection_refuses_destruction_even_by_force(site: Site) -> None:
    path = site.created(protection=1)
    assert site.ask("DELETE", path, force=1).reason == "can't remove CT 101 - protection mode enabled"


def test_a_running_container_is_destroyed_only_by_force(site: Site) -> None:
    path = site.started()
    assert site.ask("DELETE", path).reason == "unable to destroy CT 101 - container is running"
    assert site.exit_of(site.ask("DELETE", path, force=1, purge=1)) == "OK"
    assert site.cluster.container(101) is None
    assert site.cluster.running() == ()


def test_two_destructions_are_accepted_and_the_second_fails_in_its_task(site: Site) -> None:
    path = site.created()
    site.ask("DELETE", path)
    second = site.ask("DELETE", path)
    assert site.exit_of(second) == "Configuration file 'nodes/pve1/lxc/101.conf' does not exist"


def test_disks_grow_and_never_shrink(site: Site) -> None:
    path = site.created()
    assert site.exit_of(site.ask("PUT", path + "/resize", disk="rootfs", size="+512M")) == "OK"
    assert site.row(path + "/config")["rootfs"] == "local:101/vm-101-disk-0.raw,size=1536M"
    assert site.ask("PUT", path + "/resize", disk="rootfs", size="1G").reason == "unable to shrink disk size"
    assert (
        site.ask("PUT", path + "/resize", disk="rootfs", size="1536M").reason
        == "disk is already at specified size"
    )


def test_snapshots_depend_on_the_storage(site: Site) -> None:
    site.cluster.add_storage("btr", type_="btrfs", path="/mnt/btr")
    plain, good = site.created(101), site.created(102, rootfs="btr:1")
    assert (
        site.exit_of(site.ask("POST", plain + "/snapshot", snapname="s1"))
        == "snapshot feature is not available"
    )
    assert site.exit_of(site.ask("POST", good + "/snapshot", snapname="s1")) == "OK"
    site.data("PUT", good + "/config", memory=999)
    assert site.exit_of(site.ask("POST", good + "/snapshot/s1/rollback")) == "OK"
    assert site.row(good + "/config")["memory"] == 512


def test_the_next_free_vmid_reserves_nothing(site: Site) -> None:
    site.created(100)
    assert (site.data("GET", "/cluster/nextid"), site.data("GET", "/cluster/nextid")) == ("101", "101")
    assert site.ask("GET", "/cluster/nextid", vmid=100).body == {
        "data": None,
        "message": "Parameter verification failed.\n",
        "errors": {"vmid": "VM 100 already exists"},
    }


def test_resources_lag_behind_by_a_period_of_pvestatd(site: Site) -> None:
    site.wait(1)
    path = site.created()
    assert site.rows("/cluster/resources", type="vm")[0]["status"] == "unknown"
    site.wait(10)
    assert site.rows("/cluster/resources", type="vm")[0]["status"] == "stopped"
    site.exit_of(site.ask("POST", path + "/status/start"))
    assert site.rows("/cluster/resources", type="vm")[0]["status"] == "stopped"
    assert site.row(path + "/status/current")["status"] == "running"
    site.wait(10)
    assert site.rows("/cluster/resources", type="vm")[0]["status"] == "running"


def test_a_container_that_dies_by_itself_leaves_no_task(site: Site) -> None:
    path = site.started()
    before = len(site.cluster.tasks())
    site.cluster.stop_by_hand(101, site.now)
    assert site.row(path + "/status/current")["status"] == "stopped"
    assert len(site.cluster.tasks()) == before


def test_a_task_is_listed_with_its_exit_and_logs_it_last(site: Site) -> None:
    upid = str(site.create().data)
    site.wait(5)
    (row,) = site.rows("/nodes/pve1/tasks", vmid=101)
    assert (row["upid"], row["status"], row["endtime"]) == (upid, "OK", int(START) + 2)
    assert site.rows(f"/nodes/pve1/tasks/{upid}/log")[-1]["t"] == "TASK OK"


def test_everything_survives_json(site: Site) -> None:
    site.started(tags="a")
    site.create(102)
    site.put(FailTask("vzcreate"))
    text = site.cluster.to_json()
    again = PveCluster.from_json(text)
    assert again.to_json() == text
    again.advance(site.now + 5)
    site.cluster.advance(site.now + 5)
    assert again.containers() == site.cluster.containers()


def test_the_same_requests_give_the_same_cluster() -> None:
    first, second = Site(), Site()
    for site in (first, second):
        site.started()
    assert first.cluster.to_json() == second.cluster.to_json()
