"""What follows from one look at a container: every case of what can be seen."""

from dataclasses import replace
from datetime import timedelta

import pytest

from crds.container import ContainerStatus
from crds.meta import ConditionType, Origin, Truth, Verb
from reconcilers.container.model import (
    Absent,
    Configure,
    Create,
    Elsewhere,
    Place,
    Resize,
    SeenContainer,
    Shutdown,
    Silent,
    Start,
    Stop,
    Volume,
)
from reconcilers.container.settings import recipe_tag
from reconcilers.contract import Plan, StepClass
from tests.builders_container import OTHER_TEMPLATE, a_container, a_sighting, actions, configured, planned

GIB = 1024**3
PLACE = Place("pve", "pve1", 100)


def test_a_container_that_is_as_asked_needs_nothing() -> None:
    container = a_container()
    plan = planned(container, a_sighting(container))
    assert plan == Plan(
        status=ContainerStatus(node="pve1", state="running", recipe=recipe_tag(container.spec))
    )


def test_a_missing_container_is_created_with_its_stamps_and_not_yet_started() -> None:
    container = a_container(
        network={"bridge": "vmbr1", "address": "10.0.20.10/24", "gateway": "10.0.20.1", "vlan": 20},
        features={"nesting": True, "keyctl": False},
        tags=["crm"],
        startup={"order": 3, "up": "5s"},
        protection=False,
        onBoot=True,
        description="the CRM\n",
    )
    plan = planned(container, Absent())
    (step,) = plan.steps
    assert isinstance(step.action, Create)
    assert dict(step.action.options) == {
        "vmid": "100",
        "ostemplate": "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst",
        "hostname": "psa-crm",
        "unprivileged": "1",
        "rootfs": "local:10",
        "cores": "2",
        "memory": "4096",
        "swap": "0",
        "net0": "name=eth0,bridge=vmbr1,gw=10.0.20.1,ip=10.0.20.10/24,tag=20",
        "features": "nesting=1",
        "tags": "crm;psa;psa-r-272bad9135db;psa-u-01234567",
        "startup": "order=3,up=5",
        "onboot": "1",
        "description": "the CRM",
    }
    assert step.step_class is StepClass.EXCLUSIVE
    assert step.target == "CT 100 on pve"
    assert step.needs is None
    assert step.summary.endswith(", then start it")


def test_memory_is_changed_live_in_one_call_with_the_digest_that_was_read() -> None:
    container = a_container(memory="6Gi", cores=4)
    plan = planned(container, a_sighting(container, memory_mib=4096, cores=2))
    (step,) = plan.steps
    digest = "5483ce630da6eb3eb9f851762b2fc091100e7951"
    assert step.action == Configure(PLACE, digest, (("cores", "4"), ("memory", "6144")), ())
    assert step.step_class is StepClass.ABSOLUTE
    assert step.summary == "cores 2 → 4, memory 4096 → 6144 MiB, live, no restart"
    assert [(c.path, c.old, c.new) for c in step.changes] == [
        ("spec.cores", "2", "4"),
        ("spec.memory", "4Gi", "6Gi"),
    ]


def test_a_step_names_the_line_that_asked_for_it() -> None:
    container = a_container(memory="6Gi")
    plan = planned(container, a_sighting(container, memory_mib=4096))
    assert plan.steps[0].origin == Origin("psa-crm.yaml", 12)


def test_what_the_spec_leaves_out_is_never_touched() -> None:
    container = a_container(cores=None, memory=None, swap=None, disk=None)
    world = a_sighting(
        container,
        cores=8,
        memory_mib=333,
        swap_mib=99,
        root=Volume("local", 5 * GIB),
        net0=(("name", "eth7"), ("bridge", "vmbr9")),
        features=(("keyctl", "1"),),
        nameserver="9.9.9.9",
        searchdomain="example.org",
        on_boot=True,
        startup=(("order", "9"),),
        protection=True,
        description="by hand\n",
    )
    assert planned(container, world).steps == ()


def test_the_generated_mac_address_and_foreign_keys_stay_when_the_network_changes() -> None:
    container = a_container(network={"bridge": "vmbr1", "address": "10.0.20.10/24", "vlan": 20})
    net0 = (
        ("name", "eth0"),
        ("bridge", "vmbr0"),
        ("hwaddr", "BC:24:11:A5:DA:6C"),
        ("ip", "dhcp"),
        ("ip6", "auto"),
        ("type", "veth"),
    )
    plan = planned(container, a_sighting(container, net0=net0))
    wanted = "name=eth0,bridge=vmbr1,hwaddr=BC:24:11:A5:DA:6C,ip=10.0.20.10/24,ip6=auto,tag=20,type=veth"
    assert configured(plan).options == (("net0", wanted),)


def test_a_feature_that_is_switched_off_leaves_the_others_and_an_empty_list_is_deleted() -> None:
    container = a_container(features={"nesting": False})
    kept = planned(container, a_sighting(container, features=(("keyctl", "1"), ("nesting", "1"))))
    gone = planned(container, a_sighting(container, features=(("nesting", "1"),)))
    assert configured(kept).options == (("features", "keyctl=1"),)
    assert configured(gone).deleted == ("features",)
    assert kept.steps[0].summary == "features.nesting yes → no, with the next start"


def test_an_emptied_description_is_deleted_not_set_to_nothing() -> None:
    container = a_container(description="")
    plan = planned(container, a_sighting(container, description="old\n"))
    assert configured(plan).deleted == ("description",)


def test_tags_of_others_stay_unless_the_spec_lists_tags() -> None:
    silent, listing = a_container(), a_container(tags=["crm", "psa-u-ffffffff"])
    stamps = a_sighting(silent).config.tags
    assert planned(silent, a_sighting(silent, tags=stamps | {"theirs"})).steps == ()
    changed = configured(planned(listing, a_sighting(listing, tags=stamps | {"theirs"})))
    assert dict(changed.options)["tags"] == "crm;psa;psa-r-272bad9135db;psa-u-01234567"


@pytest.mark.parametrize("is_running", [True, False])
def test_a_disk_grows_and_never_shrinks(is_running: bool) -> None:  # noqa: FBT001 - a case
    container = a_container(disk="20Gi", state="Running" if is_running else "Stopped")
    growing = a_sighting(container, root=Volume("local", 10 * GIB), is_running=is_running)
    shrinking = a_sighting(container, root=Volume("local", 30 * GIB), is_running=is_running)
    plan = planned(container, growing)
    assert [step.action for step in plan.steps] == [Resize(PLACE, 20)]
    assert plan.steps[0].summary.startswith("disk 10 → 20 GiB")
    blocked = planned(container, shrinking).blocked
    assert blocked is not None
    assert blocked[0] == "Shrink"


def test_the_disk_grows_before_the_container_starts() -> None:
    container = a_container(disk="20Gi")
    world = a_sighting(container, root=Volume("local", 10 * GIB), is_running=False)
    assert actions(planned(container, world)) == ["Resize"]


def test_a_shrunk_disk_does_not_keep_the_rest_from_converging() -> None:
    container = a_container(disk="5Gi", memory="6Gi")
    world = a_sighting(container, root=Volume("local", 10 * GIB), memory_mib=4096, is_running=False)
    plan = planned(container, world)
    assert actions(plan) == ["Configure", "Start"]
    assert plan.blocked is not None


def test_a_container_stopped_by_hand_is_started_again() -> None:
    container = a_container()
    plan = planned(container, a_sighting(container, is_running=False))
    assert [step.action for step in plan.steps] == [Start(PLACE)]
    assert plan.steps[0].origin == Origin("psa-crm.yaml", 30)


def test_a_container_that_shall_stop_is_asked_to_shut_down_in_its_own_time() -> None:
    container = a_container(state="Stopped", shutdownTimeout="90s")
    (step,) = planned(container, a_sighting(container)).steps
    assert step.action == Shutdown(PLACE, timedelta(seconds=90))
    assert step.needs is None
    assert step.deadline > timedelta(seconds=90)


def test_after_a_shutdown_that_did_not_end_only_an_allowed_force_stop_cuts_the_power() -> None:
    status = ContainerStatus(node="pve1", state="running", stuck="shutdown: container did not stop")
    container = replace(a_container(state="Stopped"), status=status)
    (step,) = planned(container, a_sighting(container)).steps
    assert step.action == Stop(PLACE)
    assert step.needs is Verb.FORCE_STOP


def test_a_pending_change_restarts_only_with_its_verb_and_says_what_waits() -> None:
    container = a_container(nameserver="9.9.9.9")
    world = a_sighting(container, nameserver="9.9.9.9", pending=("nameserver", "timezone"))
    plan = planned(container, world)
    (step,) = plan.steps
    assert isinstance(step.action, Shutdown)
    assert step.needs is Verb.RESTART
    assert step.summary == "restart CT 100, so that nameserver takes effect"
    (verdict,) = plan.verdicts
    assert (verdict.type, verdict.status, verdict.reason) == (
        ConditionType.DEGRADED,
        Truth.TRUE,
        "PendingRestart",
    )
    assert isinstance(plan.status, ContainerStatus)
    assert (plan.status.state, plan.status.pending) == ("running", ("nameserver", "timezone"))


def test_somebody_elses_pending_change_restarts_nothing() -> None:
    container = a_container()
    plan = planned(container, a_sighting(container, pending=("timezone", "nameserver")))
    assert plan.steps == ()


@pytest.mark.parametrize("lock", ["backup", "migrate", "snapshot", "disk", "mounted"])
def test_a_locked_container_is_waited_for_by_the_name_of_its_lock(lock: str) -> None:
    container = a_container(memory="6Gi")
    plan = planned(container, a_sighting(container, memory_mib=4096, lock=lock))
    assert plan.steps == ()
    assert plan.waiting == f"CT 100 on pve is locked ({lock})"
    assert plan.recheck_after is not None


def test_a_backup_of_a_container_that_is_as_asked_is_nothing_to_wait_for() -> None:
    container = a_container()
    assert planned(container, a_sighting(container, lock="backup")).waiting is None


def test_without_quorum_changes_wait_and_looking_goes_on() -> None:
    container = a_container()
    assert planned(container, Absent(), is_quorate=False).waiting == "pve has no quorum: it takes no changes"
    assert planned(container, Absent(), is_quorate=False).steps == ()
    assert planned(container, a_sighting(container), is_quorate=False).waiting is None


def test_a_token_that_may_not_ask_about_quorum_tries() -> None:
    assert actions(planned(a_container(), Absent(), is_quorate=None)) == ["Create"]


def test_a_half_created_container_is_named_with_the_commands_that_help() -> None:
    container = a_container()
    world = SeenContainer("pve1", is_running=False, config=a_sighting(container).config, lock="create")
    bare = a_sighting(container, hostname=None, tags=frozenset(), is_running=False, lock="create")
    plan = planned(container, bare)
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "HalfCreated"
    assert "pct unlock 100 && pct destroy 100" in plan.blocked[1]
    assert planned(container, world).blocked is None


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        ({}, {"is_running": False}),
        ({"state": "Stopped"}, {}),
        ({"nameserver": "9.9.9.9"}, {"nameserver": "9.9.9.9", "pending": ("nameserver",)}),
        ({"template": OTHER_TEMPLATE, "allow": ["recreate"]}, {}),
    ],
    ids=["start", "stop", "restart", "recreate"],
)
def test_nothing_is_started_or_stopped_behind_the_back_of_ha(
    spec: dict[str, object], seen: dict[str, object]
) -> None:
    container = a_container("psa-crm", **spec)
    tags = a_sighting(a_container()).config.tags
    plan = planned(container, a_sighting(container, ha_state="started", tags=tags, **seen))
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "ManagedByHA"


def test_settings_of_a_container_under_ha_are_still_reconciled() -> None:
    container = a_container(memory="6Gi")
    plan = planned(container, a_sighting(container, memory_mib=4096, ha_state="started"))
    assert actions(plan) == ["Configure"]
    assert plan.blocked is None


def test_a_container_on_another_node_is_left_alone() -> None:
    plan = planned(a_container(adopt=True, allow=["recreate"]), Elsewhere("pve3", is_container=True))
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "NodeMismatch"
    assert "pve3" in plan.blocked[1]


def test_a_virtual_machine_with_the_id_is_left_alone() -> None:
    plan = planned(a_container(), Elsewhere("pve1", is_container=False))
    assert (plan.steps, plan.blocked and plan.blocked[0]) == ((), "IdTaken")


def test_a_silent_node_makes_the_container_unknown_not_absent() -> None:
    plan = planned(a_container(), Silent("GET …: 595 No route to host"))
    assert plan.steps == ()
    assert plan.waiting is not None
    assert [(v.type, v.status) for v in plan.verdicts] == [(ConditionType.READY, Truth.UNKNOWN)]


def test_what_was_refused_and_stored_all_the_same_needs_no_further_step() -> None:
    # PUT net0 on a bridge that does not exist answers 500 and is stored (recording 8.4, line 289).
    container = a_container(network={"bridge": "nobr", "address": "10.0.20.10/24"})
    net0 = (("name", "eth0"), ("bridge", "nobr"), ("hwaddr", "BC:24:11:25:17:AF"), ("ip", "10.0.20.10/24"))
    assert planned(container, a_sighting(container, net0=net0)).steps == ()


def test_a_restart_that_a_release_asks_for_is_done_once_and_needs_no_verb() -> None:
    container = a_container(restart="psa-suite.2")
    (step,) = planned(container, a_sighting(container)).steps
    assert (type(step.action), step.needs) == (Shutdown, None)
    assert step.summary == "restart CT 100, as a release asked"
    down = planned(container, a_sighting(container, is_running=False))
    assert [type(step.action) for step in down.steps] == [Start]
    assert isinstance(down.status, ContainerStatus)
    assert down.status.restarted == "psa-suite.2"
    again = replace(container, status=down.status)
    assert planned(again, a_sighting(again)).steps == ()
