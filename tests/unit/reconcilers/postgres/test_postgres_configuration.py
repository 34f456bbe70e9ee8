"""Settings of each member: written once, waiting for a restart, refused before a write."""

from dataclasses import replace

import pytest

from crds.postgres import PostgresClusterStatus
from reconcilers.postgres.model import SeenMember, Setting
from tests.builders_haproxy import said
from tests.builders_postgres import a_member, a_standby, decide, message, reason, settings
from tests.fakes.postgres import SETTINGS

CONNECTIONS = SETTINGS["max_connections"]
FIXED = "it cannot be changed: it was fixed when the server was built or the cluster was made"


def waiting(value: str, *, seen: bool = True) -> Setting:
    """Return max_connections with another value in the file."""
    return replace(CONNECTIONS, pending_restart=True, file_value=value if seen else None)


def with_connections(found: Setting) -> SeenMember:
    return a_member(settings=settings(max_connections=found))


def test_a_setting_is_set_on_each_member_that_differs() -> None:
    members = a_member(settings=settings(work_mem="20480")), a_standby()
    assert said(decide(*members, spec={"settings": {"work_mem": "20MB"}})) == ["work_mem 4MB → 20MB on two"]


def test_a_setting_that_takes_effect_with_a_restart_is_written_and_says_so() -> None:
    plan = decide(a_member(), spec={"settings": {"max_connections": 200}})
    assert said(plan) == ["max_connections 100 → 200 on one, written; it takes effect at the next restart"]


def test_what_is_written_and_waits_is_not_written_again_but_said_with_its_member() -> None:
    plan = decide(with_connections(waiting("200")), spec={"settings": {"max_connections": 200}})
    assert plan.steps == ()
    assert isinstance(plan.status, PostgresClusterStatus)
    assert plan.status.pending_restart == ("one: max_connections",)
    assert reason(plan) == "PendingRestart"


def test_another_value_in_the_file_is_drift_even_if_the_one_in_force_is_right() -> None:
    found = waiting("50")
    assert said(decide(with_connections(found), spec={"settings": {"max_connections": 100}})) == [
        "max_connections 50 → 100 on one, written; it takes effect at the next restart"
    ]


def test_who_may_not_see_the_files_writes_once_for_each_spec() -> None:
    member, spec = with_connections(waiting("200", seen=False)), {"settings": {"max_connections": 200}}
    assert len(decide(member, spec=spec, generation=2, observed_generation=1).steps) == 1
    plan = decide(member, spec=spec, generation=2, observed_generation=2)
    assert (plan.steps, reason(plan)) == ((), "PendingRestart")


@pytest.mark.parametrize(
    ("asked", "order"),
    [
        (200, "standbys first: with less than the primary has they would stop replaying"),
        (50, "the primary first, then the standbys"),
        ("0xC8", "standbys first"),
    ],
)
def test_the_order_of_restarts_is_said_where_it_matters(asked: int | str, order: str) -> None:
    plan = decide(with_connections(waiting(str(asked))), spec={"settings": {"max_connections": asked}})
    assert order in message(plan)


def test_the_order_of_other_restarts_does_not_matter() -> None:
    buffers = replace(SETTINGS["shared_buffers"], pending_restart=True, file_value="4GB")
    member = a_member(settings=settings(shared_buffers=buffers))
    assert "in any order" in message(decide(member, spec={"settings": {"shared_buffers": "4GB"}}))


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"no_such": "1"}, ("UnknownSetting", "one (15.20) has no setting no_such")),
        (
            {"work_mem": "20 apples"},
            ("BadSetting", "work_mem: '20 apples' on one: a number with a unit, its own is kB is needed"),
        ),
        ({"work_mem": "1kB"}, ("BadSetting", "work_mem: '1kB' on one: 64kB to 2147483647kB is allowed")),
        (
            {"log_statement": "all of it"},
            ("BadSetting", "log_statement: 'all of it' on one: one of none, ddl, mod, all is needed"),
        ),
        (
            {"block_size": "4096"},
            ("BadSetting", f"block_size: '4096' on one: {FIXED}"),
        ),
    ],
)
def test_what_no_server_will_take_is_said_and_the_others_are_set(
    asked: dict[str, str], why: tuple[str, str]
) -> None:
    plan = decide(a_member(), spec={"settings": {**asked, "autovacuum": False}})
    assert said(plan) == ["autovacuum on → off on one"]
    assert plan.blocked == why


def test_what_the_server_could_not_read_from_its_file_is_said() -> None:
    found = replace(
        SETTINGS["log_line_prefix"], value="%m ", file_value="%t ", file_error="setting could not be applied"
    )
    member = a_member(settings=settings(log_line_prefix=found))
    plan = decide(member, spec={"settings": {"log_line_prefix": "%t "}})
    assert plan.steps == ()
    assert plan.blocked == (
        "BadSetting",
        "log_line_prefix: '%t ' on one: setting could not be applied",
    )


def test_settings_that_were_not_looked_at_are_neither_unknown_nor_set() -> None:
    plan = decide(a_member(settings={}), spec={"settings": {"work_mem": "20MB"}})
    assert (plan.steps, plan.blocked) == ((), None)
