"""A PostgreSQL cluster as a look gives it, one keyword for each field that a test cares about."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from crds.meta import ConditionType
from crds.postgres import PostgresClusterSpec
from reconcilers.contract import Plan, Resource, Secret
from reconcilers.postgres.actions import PostgresAction
from reconcilers.postgres.model import (
    Deep,
    Downstream,
    LostMember,
    Receiver,
    SeenCluster,
    SeenMember,
    SeenSlot,
    Setting,
)
from reconcilers.postgres.passwords import answer, questions
from reconcilers.postgres.plan import plan_postgres
from tests.builders import START
from tests.builders_haproxy import verdict
from tests.fakes.postgres import SETTINGS, SYSTEM
from tests.real_postgres import a_cluster

#: A primary called one and a standby called two, that streams from slot replica1.
LINK: Mapping[str, str] = {
    "host": "10.0.30.10",
    "port": "5432",
    "user": "replicator",
    "application_name": "replica1",
    "password": "secret",
}
STANDBY: Mapping[str, object] = {
    "slot": "replica1",
    "user": "replicator",
    "password": "replicator",
    "applicationName": "replica1",
}
REPLICATION: Mapping[str, object] = {"slots": {"replica1": {}}, "standbys": {"two": STANDBY}}
STREAM = Downstream("replica1", "streaming", "replica1", 1 << 30, 1 << 30)
SLOT = SeenSlot(None, None, active=True, wal_status="reserved", retained_bytes=0)
EMPTY = Deep(settings=SETTINGS, roles={}, databases={})


def a_member(name: str = "one", **fields: Any) -> SeenMember:
    """Return a primary; fields of its deep look may stand among the others."""
    of_deep = {key: fields.pop(key) for key in list(fields) if hasattr(EMPTY, key)}
    found = SeenMember(
        name=name,
        address="10.0.30.10:5432",
        is_standby=False,
        system_identifier=SYSTEM,
        timeline=1,
        version="15.20",
        started_at="now",
        position=1 << 30,
        downstream=(STREAM,),
        slots={"replica1": SLOT},
        connections=10,
        connection_limit=100,
        deep=replace(EMPTY, **of_deep),
    )
    return replace(found, **fields)


def a_standby(name: str = "two", **fields: Any) -> SeenMember:
    """Return a standby that streams and is connected as REPLICATION asks."""
    values: dict[str, Any] = {
        "address": "10.0.30.11:5432",
        "is_standby": True,
        "received": 1 << 30,
        "receiver": Receiver("streaming", "replica1", "10.0.30.10:5432"),
        "downstream": (),
        "slots": {},
        "conninfo": LINK,
        "slot_name": "replica1",
        "roles": None,
        "databases": None,
    }
    return a_member(name, **{**values, **fields})


def settings(**values: str | Setting) -> Mapping[str, Setting]:
    """Return a server's settings; a text is the value in force."""
    changed = {
        name: value if isinstance(value, Setting) else replace(SETTINGS[name], value=value)
        for name, value in values.items()
    }
    return {**SETTINGS, **changed}


def decide(
    *members: SeenMember | LostMember, spec: Mapping[str, object] | None = None, **fields: Any
) -> Plan[PostgresAction]:
    """Plan from one look; keywords are the object's, *secrets* and *missing* are the look's."""
    known = {"replicator": "secret", "app": "the app's", **fields.pop("secrets", {})}
    seen = SeenCluster(
        members or (a_member(), a_standby()),
        {name: Secret(text) for name, text in known.items()},
        fields.pop("missing", {}),
    )
    cluster = cast("Resource[PostgresClusterSpec]", a_cluster(**(spec or {})))
    new = {each.role: answer(each) for each in questions(cluster, seen)}
    seen = replace(seen, new_verifiers={name: each for name, each in new.items() if each is not None})
    return plan_postgres(replace(cluster, **fields), seen, START)


def reason(plan: Plan[PostgresAction], kind: ConditionType = ConditionType.DEGRADED) -> str:
    """Return the reason of a verdict; "" where the plan leaves it to the engine."""
    found = verdict(plan, kind)
    return found.reason if found is not None else ""


def message(plan: Plan[PostgresAction], kind: ConditionType = ConditionType.DEGRADED) -> str:
    """Return the sentences of a verdict."""
    found = verdict(plan, kind)
    return found.message if found is not None else ""
