import pytest

from lab.pve.faults import (
    DaemonGone,
    Deaf,
    DropReply,
    FailTask,
    Fault,
    Garbled,
    Lock,
    LoseTask,
    NodeBlackhole,
    NodeDown,
    NoQuorum,
    PmxcfsDown,
    ProxyGone,
    Slow,
    SlowTask,
    Status,
    from_json,
)
from lab.pve.message import Outcome
from tests.lab.pve_site import PMXCFS, Site


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_killed_creation_leaves_half_a_container_that_only_unlocking_helps(site: Site) -> None:
    site.put(LoseTask("vzcreate"))
    assert site.exit_of(site.create()) == "unable to read tail (got 0 bytes)"
    assert site.ask("DELETE", "/nodes/pve1/lxc/101", force=1).reason == "CT is locked (create)"
    assert [volume for volume in site.cluster.world.volumes if volume.vmid == 101]
    site.cluster.unlock(101)
    assert site.exit_of(site.ask("DELETE", "/nodes/pve1/lxc/101")) == "OK"


def test_a_failed_creation_leaves_nothing(site: Site) -> None:
    site.put(FailTask("vzcreate", "unable to create CT 101 - no space left on device"))
    assert site.exit_of(site.create()) == "unable to create CT 101 - no space left on device"
    assert site.cluster.containers() == ()
    assert site.exit_of(site.create()) == "OK"


def test_a_slow_task_runs_longer(site: Site) -> None:
    site.put(SlowTask("vzcreate", seconds=60))
    upid = str(site.create().data)
    site.wait(50)
    assert site.row(f"/nodes/pve1/tasks/{upid}/status")["status"] == "running"


def test_a_stopped_creation_cleans_up(site: Site) -> None:
    upid = str(site.create().data)
    site.data("DELETE", f"/nodes/pve1/tasks/{upid}")
    assert site.row(f"/nodes/pve1/tasks/{upid}/status")["exitstatus"] == "received interrupt"
    assert site.cluster.containers() == ()


def test_without_quorum_reads_answer_and_writes_do_not(site: Site) -> None:
    path = site.created()
    number = site.put(NoQuorum())
    assert site.ask("GET", path + "/config").status == 200
    assert site.ask("POST", path + "/status/start").reason == "cluster not ready - no quorum?"
    assert site.create(102).reason == "cluster not ready - no quorum?"
    assert "Permission denied" in site.ask("PUT", path + "/config", cores=1).reason
    assert "Permission denied" in str(site.exit_of(site.ask("DELETE", path)))
    site.cluster.remove_fault(number, site.now)
    assert site.ask("PUT", path + "/config", cores=1).status == 200


def test_a_dead_node_takes_its_containers_with_it_and_resources_do_not_know(site: Site) -> None:
    path = "/nodes/pve2/lxc/101"
    site.exit_of(site.create(node="pve2", start=1))
    site.wait(10)
    number = site.put(NodeDown("pve2"))
    answer = site.ask("GET", path + "/config")
    assert (answer.status, answer.reason, answer.delay_s) == (595, "No route to host", 3.0)
    assert site.ask("GET", "/version", via="pve2").outcome is Outcome.REFUSED
    assert site.cluster.running() == ()
    site.wait(60)
    assert site.rows("/cluster/resources", type="vm")[0]["status"] == "running"
    assert {row["name"]: row.get("online") for row in site.rows("/cluster/status")}["pve2"] == 0
    site.cluster.remove_fault(number, site.now)
    assert site.row(path + "/status/current")["status"] == "stopped"


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (NodeBlackhole("pve2"), 595, "Connection timed out"),
        (ProxyGone("pve2"), 596, "Connection reset by peer"),
        (DaemonGone("pve2"), 595, "Connection refused"),
        (PmxcfsDown("pve2"), 500, PMXCFS),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str | int) else None,
)  # fmt: skip
def test_a_node_can_be_gone_in_many_ways(site: Site, fault: Fault, status: int, reason: str) -> None:
    site.put(fault)
    answer = site.ask("GET", "/nodes/pve2/lxc")
    assert (answer.status, answer.reason, answer.body) == (status, reason, None)
    assert site.ask("GET", "/nodes/pve3/lxc").status == 200


def test_a_status_fault_strikes_the_given_requests_as_often_as_said(site: Site) -> None:
    site.put(Status(500, "got timeout", method="GET", path="/config$", count=2))
    path = site.created()
    answers = [site.ask("GET", path + "/config").status for _ in range(3)]
    assert answers == [500, 500, 200]
    assert site.ask("GET", path + "/status/current").status == 200


def test_a_status_fault_can_hide_that_the_request_was_applied(site: Site) -> None:
    path = site.created()
    site.put(Status(500, "internal error", method="PUT", applied=True))
    assert site.ask("PUT", path + "/config", cores=2).status == 500
    assert site.row(path + "/config")["cores"] == 2


def test_a_dropped_reply_leaves_the_work_done(site: Site) -> None:
    site.put(DropReply(method="POST", path="/lxc$"))
    assert site.create().outcome is Outcome.LOST
    assert site.cluster.container(101) is not None


def test_a_slow_answer_is_late_and_a_garbled_one_is_no_json(site: Site) -> None:
    site.put(Slow(7.5))
    site.put(Garbled("<html>"))
    answer = site.ask("GET", "/version")
    assert (answer.delay_s, answer.raw) == (7.5, "<html>")


def test_faults_are_read_from_json_and_wrong_ones_refused() -> None:
    assert from_json({"kind": "lock", "vmid": 101, "lock": "backup"}) == Lock(101, "backup")
    with pytest.raises(ValueError, match="kind"):
        from_json({"kind": "earthquake"})


def test_a_deaf_container_does_not_stop_unless_forced(site: Site) -> None:
    path = site.started()
    site.put(Deaf(101))
    assert site.exit_of(site.ask("POST", path + "/status/shutdown", timeout=5)) == "container did not stop"
    assert site.exit_of(site.ask("POST", path + "/status/shutdown", timeout=5, forceStop=1)) == "OK"
