"""Whose container it is that has the id, and when it may be made anew."""

from datetime import timedelta

import pytest

from crds.container import ContainerStatus
from crds.meta import Verb
from reconcilers.container.model import (
    Destroy,
    Place,
    Shutdown,
    Volume,
)
from reconcilers.container.settings import owner_tag, recipe_tag
from tests.builders_container import OTHER_TEMPLATE, a_container, a_sighting, actions, configured, planned

GIB = 1024**3
PLACE = Place("pve", "pve1", 100)
OTHERS = frozenset({"psa", "psa-u-ffffffff"})


@pytest.mark.parametrize("adopt", [True, False])
@pytest.mark.parametrize("tags", [frozenset({"theirs"}), OTHERS])
def test_an_id_taken_by_a_stranger_is_never_touched(adopt: bool, tags: frozenset[str]) -> None:  # noqa: FBT001
    container = a_container(adopt=adopt, allow=["recreate", "restart", "force-stop"])
    world = a_sighting(container, hostname="billing", tags=tags, memory_mib=1, is_running=False)
    plan = planned(container, world)
    assert plan.steps == ()
    assert plan.blocked == ("IdTaken", "CT 100 on pve is billing, not psa-crm: it is not ours")


def test_a_container_of_the_same_name_waits_for_adoption_and_then_gets_stamps_and_declared_fields() -> None:
    container = a_container(memory="6Gi")
    world = a_sighting(container, tags=frozenset({"theirs"}), memory_mib=4096, description="kept\n")
    plan = planned(container, world)
    assert plan.foreign == "CT 100 on pve exists already and was not made by us"
    assert dict(configured(plan).options) == {
        "memory": "6144",
        "tags": "psa;psa-a;psa-r-272bad9135db;psa-u-01234567;theirs",
    }


def test_the_stamp_of_another_object_is_foreign_and_named() -> None:
    container = a_container()
    plan = planned(container, a_sighting(container, tags=OTHERS))
    assert plan.foreign == "CT 100 on pve carries the stamp of another object (psa-u-ffffffff)"


def test_a_container_that_was_made_otherwise_cannot_be_adopted_into_a_recreation() -> None:
    container = a_container(adopt=True, allow=["recreate"])
    world = a_sighting(container, tags=frozenset(), unprivileged=False)
    plan = planned(container, world)
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "CannotAdopt"


def test_another_template_first_shuts_down_then_destroys_what_carries_our_stamp() -> None:
    before, container = a_container(), a_container(template=OTHER_TEMPLATE, allow=["recreate"])
    running = planned(container, a_sighting(before))
    stopped = planned(container, a_sighting(before, is_running=False))
    assert [step.action for step in running.steps] == [Shutdown(PLACE, timedelta(seconds=60))]
    assert [step.action for step in stopped.steps] == [Destroy(PLACE)]
    assert {step.needs for step in (*running.steps, *stopped.steps)} == {Verb.RECREATE}


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        ({"template": OTHER_TEMPLATE}, {}),
        ({"storage": "fast"}, {"root": Volume("local", 10 * GIB)}),
        ({"unprivileged": False}, {"unprivileged": True}),
    ],
    ids=["template", "storage", "unprivileged"],
)
def test_a_create_time_field_needs_the_verb_and_meanwhile_the_rest_converges(
    spec: dict[str, object], seen: dict[str, object]
) -> None:
    container = a_container("psa-crm", memory="6Gi", **spec)
    tags = a_sighting(a_container()).config.tags
    plan = planned(container, a_sighting(container, memory_mib=4096, tags=tags, **seen))
    assert actions(plan) == ["Configure", "Shutdown"]
    assert [step.needs for step in plan.steps] == [None, Verb.RECREATE]
    assert dict(configured(plan).options) == {"memory": "6144"}


def test_a_protected_container_is_not_made_anew() -> None:
    before = a_container()
    kept = a_container(template=OTHER_TEMPLATE, allow=["recreate"])
    released = a_container(template=OTHER_TEMPLATE, allow=["recreate"], protection=False)
    world = a_sighting(before, protection=True, is_running=False)
    plan = planned(kept, world)
    assert (plan.steps, plan.blocked and plan.blocked[0]) == ((), "Protected")
    assert configured(planned(released, world)).options == (("protection", "0"),)


def test_a_container_that_a_release_names_is_replaced_without_a_verb_and_no_other() -> None:
    old = a_container()
    there = a_sighting(old, is_running=False)
    wanted = a_container(template=OTHER_TEMPLATE, incarnation="psa-suite.2", replace=recipe_tag(old.spec))
    (step,) = planned(wanted, there).steps
    assert isinstance(step.action, Destroy)
    assert step.needs is None
    (held,) = planned(
        a_container(template=OTHER_TEMPLATE, replace="psa-r-000000000000"), a_sighting(old)
    ).steps
    assert (type(held.action), held.needs) == (Shutdown, Verb.RECREATE)


def test_the_same_template_of_another_attempt_is_another_container() -> None:
    old = a_container(incarnation="psa-suite.1")
    wanted = a_container(incarnation="psa-suite.2", replace=recipe_tag(old.spec))
    running = planned(wanted, a_sighting(old))
    assert isinstance(running.steps[0].action, Shutdown)
    assert planned(wanted, a_sighting(wanted)).steps == ()


def test_an_adopted_container_says_so_for_ever() -> None:
    container = a_container(adopt=True)
    tags = frozenset({"psa", "psa-a", owner_tag(container.uid), recipe_tag(container.spec)})
    world = a_sighting(container, tags=tags)
    plan = planned(container, world)
    assert plan.steps == ()
    assert isinstance(plan.status, ContainerStatus)
    assert plan.status.adopted


def test_what_is_adopted_where_a_release_wants_its_candidate_is_not_taken_for_it() -> None:
    container = a_container(adopt=True, incarnation="psa-suite.0123.1")
    world = a_sighting(container, tags=frozenset({"theirs"}))
    stamps = set(dict(configured(planned(container, world)).options)["tags"].split(";"))
    assert recipe_tag(container.spec) not in stamps
    adopted = a_sighting(container, tags=frozenset(stamps))
    held = planned(container, adopted)
    assert all(step.needs is Verb.RECREATE for step in held.steps), "nobody said that it may go"
    (recipe,) = (stamp for stamp in stamps if stamp.startswith("psa-r-"))
    allowed = a_container(adopt=True, incarnation="psa-suite.0123.1", replace=recipe)
    stopped = a_sighting(allowed, tags=frozenset(stamps), is_running=False)
    (step,) = planned(allowed, stopped).steps
    assert isinstance(step.action, Destroy)
    assert step.needs is None
