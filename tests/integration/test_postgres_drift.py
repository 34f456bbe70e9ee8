"""What somebody changes on a real PostgreSQL by hand is found, said in one sentence, and put right."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest

from lab.postgres import LabPostgres
from reconcilers.contract import AnyResource
from tests.builders_haproxy import said
from tests.real_postgres import KEY, SLOT, a_cluster, a_site, a_template, driving

SPEC: Mapping[str, object] = {
    "settings": {"work_mem": "20MB", "log_lock_waits": True, "checkpoint_completion_target": 0.8},
    "roles": {
        "psa_app": {"login": True, "password": "psa-app", "connectionLimit": 20},
        "replicator": {"replication": True, "password": "replicator"},
        "psa readers": {"login": False, "memberOf": ["pg_monitor"]},
    },
    "databases": {
        "psa_platform": {
            "owner": "psa_app",
            "extensions": ["pg_trgm"],
            "schemas": {"App": {"owner": "psa_app"}},
        }
    },
    "replication": {
        "slots": {SLOT: {}},
        "standbys": {
            "two": {"slot": SLOT, "user": "replicator", "password": "replicator", "applicationName": SLOT}
        },
    },
    "allow": ["change-owner"],
}


@dataclass(frozen=True)
class Drift:
    """A name, which member a hand does what to, and how the sentence that people read begins."""

    name: str
    member: str
    sql: str
    sentence: str
    database: str = "postgres"


#: Its reader is back at once, so that it takes some tries.
_DROPPED = """
DO $$ BEGIN
  FOR i IN 1..1000 LOOP
    BEGIN
      PERFORM pg_terminate_backend(active_pid, 1000) FROM pg_replication_slots WHERE active;
      PERFORM pg_drop_replication_slot('replica1');
      RETURN;
    EXCEPTION WHEN object_in_use THEN NULL;
    END;
  END LOOP;
END $$
"""
DRIFTS: Sequence[Drift] = (
    Drift(
        "a setting of the primary lowered",
        "one",
        "ALTER SYSTEM SET work_mem = '64kB'; SELECT pg_reload_conf();",
        "work_mem 64kB → 20MB on one",
    ),
    Drift(
        "a setting of the standby forgotten",
        "two",
        "ALTER SYSTEM RESET log_lock_waits; SELECT pg_reload_conf();",
        "log_lock_waits off → on on two",
    ),
    Drift(
        "the standby's slot dropped",
        "one",
        _DROPPED,
        f"make physical slot {SLOT} on one",
    ),
    Drift(
        "the standby sent elsewhere",
        "two",
        "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=9 user=nobody'; SELECT pg_reload_conf();",
        "connect two to one: port 9 → ",
    ),
    Drift(
        "the standby told of another slot",
        "two",
        "ALTER SYSTEM SET primary_slot_name = 'other'; SELECT pg_reload_conf();",
        f"connect two to one: slot other → {SLOT}",
    ),
    Drift(
        "the standby's replay paused",
        "two",
        "SELECT pg_wal_replay_pause();",
        "resume the replay on two: somebody paused it",
    ),
    Drift(
        "the application's password changed",
        "one",
        "ALTER ROLE psa_app PASSWORD 'guessed';",
        "change role psa_app: password another one → the secret's",
    ),
    Drift(
        "the application locked out",
        "one",
        "ALTER ROLE psa_app NOLOGIN CONNECTION LIMIT 0;",
        "change role psa_app: login false → true, connectionLimit 0 → 20",
    ),
    Drift(
        "a role dropped",
        "one",
        'DROP ROLE "psa readers";',
        "make role psa readers: login false, memberOf pg_monitor",
    ),
    Drift(
        "a role taken out of its group",
        "one",
        'REVOKE pg_monitor FROM "psa readers";',
        "change role psa readers: memberOf not a member → pg_monitor",
    ),
    Drift(
        "the database given away",
        "one",
        "ALTER DATABASE psa_platform OWNER TO postgres;",
        "give database psa_platform to psa_app: it is postgres's",
    ),
    Drift(
        "an extension dropped",
        "one",
        "DROP EXTENSION pg_trgm;",
        "make extension pg_trgm in psa_platform",
        database="psa_platform",
    ),
    Drift(
        "a schema renamed",
        "one",
        'DROP SCHEMA IF EXISTS moved; ALTER SCHEMA "App" RENAME TO moved;',
        "make schema App in psa_platform, owner psa_app",
        database="psa_platform",
    ),
    Drift(
        "the database renamed",
        "one",
        "DROP DATABASE IF EXISTS moved; ALTER DATABASE psa_platform RENAME TO moved;",
        "make database psa_platform, owner psa_app",
    ),
)


@pytest.fixture(scope="module")
def pair() -> Iterator[Mapping[str, LabPostgres]]:
    """A primary and its standby, which all tests of this module leave as they found them."""
    with a_template() as template, a_site(template) as site:
        primary = site.primary()
        yield {"one": primary, "two": site.standby(primary)}


def the_cluster(**more: object) -> AnyResource:
    return a_cluster(**{**SPEC, **more})


def streams(pair: Mapping[str, LabPostgres]) -> bool:
    return pair["one"].run("SELECT state FROM pg_stat_replication") == "streaming"


@pytest.mark.parametrize("drift", DRIFTS, ids=[each.name for each in DRIFTS])
async def test_a_hand_made_drift_is_found_said_in_one_sentence_and_put_right(
    pair: Mapping[str, LabPostgres], drift: Drift
) -> None:
    async with driving(the_cluster(), pair) as driven:
        await driven.quiet()
        await driven.until(lambda: streams(pair))
        pair[drift.member].run(drift.sql, drift.database)

        (found,) = await driven.sentences()
        assert found.startswith(drift.sentence)
        await driven.desk.one_pass(KEY)
        plan = await driven.quiet()
        assert (plan.steps, plan.blocked) == ((), None)
        assert await driven.sentences() == []
        await driven.until(lambda: streams(pair))


async def test_in_steady_state_nothing_is_written(pair: Mapping[str, LabPostgres]) -> None:
    async with driving(the_cluster(), pair) as driven:
        await driven.quiet()
        before = pair["one"].run("SELECT pg_current_wal_insert_lsn()")
        for _ in range(3):
            assert said(await driven.look()) == []
        assert pair["one"].run("SELECT pg_current_wal_insert_lsn()") == before


async def test_a_rotated_secret_is_followed_by_the_role_and_by_the_standby_that_comes_with_it(
    pair: Mapping[str, LabPostgres],
) -> None:
    async with driving(the_cluster(), pair) as driven:
        await driven.quiet()
        driven.secrets.values["replicator"] = "another one"
        assert await driven.sentences() == [
            "change role replicator: password another one → the secret's",
            "connect two to one: password another one → the secret's",
        ]
        await driven.quiet()
        pair["one"].run("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
        await driven.until(lambda: streams(pair))
        # PostgreSQL itself tells of each changed setting as it is reloaded; the guide says so.
        lines = (pair["one"].log.read_text() + pair["two"].log.read_text()).splitlines()
        told = [line for line in lines if "another one" in line]
        assert [line for line in told if 'parameter "primary_conninfo" changed to' not in line] == []
    async with driving(the_cluster(), pair) as driven:
        assert len(await driven.sentences()) == 2, "the secret as it was before"
        await driven.quiet()
        await driven.until(lambda: streams(pair))


async def test_a_secret_that_cannot_be_had_changes_nothing_and_is_said(
    pair: Mapping[str, LabPostgres],
) -> None:
    async with driving(the_cluster(), pair) as driven:
        await driven.quiet()
        del driven.secrets.values["replicator"]
        plan = await driven.look()
        assert said(plan) == []
        assert plan.blocked is not None
        assert plan.blocked[0] == "SecretUnavailable"
        assert streams(pair)
