"""Who is what, slots, how standbys are connected, and what forbids every change: pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from crds.postgres import PgStandby, PostgresClusterSpec, PostgresClusterStatus
from reconcilers.contract import Change, Resource, Step, StepClass
from reconcilers.postgres.actions import Connect, MakeSlot, ResumeReplay, Target
from reconcilers.postgres.configuration import PostgresStep
from reconcilers.postgres.model import Downstream, SeenCluster, SeenMember, SeenSlot
from reconcilers.postgres.timelines import parting

MEBIBYTE: Final = 1 << 20
#: A receiver that is well is told of new WAL at once, and asks for a sign of life each 30 s.
SILENT_S: Final = 15
#: Keywords of a connection string that are ours to set; all others of a standby's are kept.
_SHOWN: Final = ("host", "port", "user", "application_name")


def frozen(
    spec: PostgresClusterSpec, before: PostgresClusterStatus, seen: SeenCluster
) -> tuple[str, str] | None:
    """Return reason and message of what forbids any change to any member; None if nothing does."""
    wanted = spec.system_identifier or before.system_identifier
    for member in seen.answering:
        if wanted is not None and member.system_identifier != wanted:
            other = f"{member.name} at {member.address} is of cluster {member.system_identifier}"
            return "WrongSystem", f"{other}, not of {wanted}: nothing is changed until a person has looked"
        wanted = member.system_identifier
    if len(seen.writable) > 1:
        each = ", ".join(f"{one.name} (timeline {one.timeline})" for one in seen.writable)
        first, *others = seen.writable
        forks = "; ".join(parting(first, other) for other in others)
        person = "a person must choose; nothing is changed meanwhile"
        return "SplitBrain", f"{each} all take writes: {person}; {forks}"
    return None


def slot_steps(cluster: Resource[PostgresClusterSpec], primary: SeenMember) -> Iterable[PostgresStep]:
    """Yield a step a slot that the primary lacks."""
    for name, wish in cluster.spec.replication.slots.items():
        if name in primary.slots or (wish.database is not None and not _may_decode(primary, wish.database)):
            continue
        kind = "physical slot" if wish.plugin is None else f"logical slot ({wish.plugin}, {wish.database})"
        yield Step(
            MakeSlot(Target(cluster.spec.endpoint, primary.name), name, wish.plugin, wish.database),
            StepClass.ABSOLUTE,
            target=f"slot {name}",
            summary=f"make {kind} {name} on {primary.name}",
            changes=(Change(f"replication.slots.{name}", "absent", "there"),),
            origin=cluster.where(f"spec.replication.slots.{name}"),
        )


def _may_decode(primary: SeenMember, database: str) -> bool:
    """Whether a logical slot can be made in a database: not before it is there, nor with too little WAL."""
    level, databases = primary.deep.settings.get("wal_level"), primary.deep.databases
    has_database = databases is None or database in databases
    return has_database and (level is None or level.value == "logical")


def slot_problems(cluster: Resource[PostgresClusterSpec], primary: SeenMember) -> Iterable[tuple[str, str]]:
    """Yield reason and message of slots that are of another sort than asked."""
    for name, wish in cluster.spec.replication.slots.items():
        found = primary.slots.get(name)
        if found is not None and (found.plugin, found.database) != (wish.plugin, wish.database):
            there, asked = _sort(found.plugin, found.database), _sort(wish.plugin, wish.database)
            message = f"slot {name} is {there}, {asked} is asked for: choose another name, or drop it by hand"
            yield "SlotDiffers", message
        elif found is None and wish.database is not None and not _may_decode(primary, wish.database):
            yield "SlotImpossible", f"slot {name} needs database {wish.database} and wal_level logical first"


def _sort(plugin: str | None, database: str | None) -> str:
    return "physical" if plugin is None else f"logical ({plugin}, {database})"


def standby_steps(
    cluster: Resource[PostgresClusterSpec], seen: SeenCluster, primary: SeenMember | None
) -> Iterable[PostgresStep]:
    """Yield what connects each standby to the primary, and lets it replay."""
    for name, wish in cluster.spec.replication.standbys.items():
        member = seen.member(name)
        if member is None or not member.is_standby:
            continue
        if primary is not None:
            step = _connect(cluster, seen, member, wish, primary)
            if step is not None:
                yield step
        if member.is_paused and not _pauses_for_settings(member, primary):
            yield Step(
                ResumeReplay(Target(cluster.spec.endpoint, name)),
                StepClass.ABSOLUTE,
                target=f"replay on {name}",
                summary=f"resume the replay on {name}: somebody paused it",
                changes=(Change(f"replication.standbys.{name}.replay", "paused", "running"),),
                origin=cluster.where(f"spec.replication.standbys.{name}"),
            )


def _pauses_for_settings(member: SeenMember, primary: SeenMember | None) -> bool:
    """Whether the standby has stopped because the primary has more of something: resuming shuts it down."""
    if primary is None:
        return True
    here, there = member.deep.settings.get("max_connections"), primary.deep.settings.get("max_connections")
    if here is None or there is None or not (here.value.isdigit() and there.value.isdigit()):
        return False
    return int(here.value) < int(there.value)


def _connect(
    cluster: Resource[PostgresClusterSpec],
    seen: SeenCluster,
    member: SeenMember,
    wish: PgStandby,
    primary: SeenMember,
) -> PostgresStep | None:
    found = member.deep.conninfo
    wanted = _conninfo(seen, wish, primary)
    if wanted is None:
        return None  # its password cannot be had: a problem of its own
    changes = [
        Change(f"replication.standbys.{member.name}.{key}", found.get(key, "absent"), value)
        for key, value in wanted.items()
        if key in _SHOWN and found.get(key) != value
    ]
    if "password" in wanted and found.get("password") != wanted["password"]:
        changes.append(Change(f"replication.standbys.{member.name}.password", "another one", "the secret's"))
    slot = wish.slot if wish.slot is not None and member.deep.slot_name != wish.slot else None
    differs = bool(changes)
    if slot is not None:
        changes.append(
            Change(f"replication.standbys.{member.name}.slot", member.deep.slot_name or "none", slot)
        )
    if not changes:
        return None
    what = ", ".join(f"{each.path.rpartition('.')[2]} {each.old} → {each.new}" for each in changes)
    return Step(
        Connect(Target(cluster.spec.endpoint, member.name), _led(found, wanted) if differs else {}, slot),
        StepClass.ABSOLUTE,
        target=f"replication of {member.name}",
        summary=f"connect {member.name} to {primary.name}: {what}",
        changes=tuple(changes),
        origin=cluster.where(f"spec.replication.standbys.{member.name}"),
    )


def _led(found: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the whole connection string: what is not ours stays, but an address of the host before."""
    is_elsewhere = found.get("host") != wanted.get("host")
    return {k: v for k, v in found.items() if k != "hostaddr" or not is_elsewhere} | {**wanted}


def _conninfo(seen: SeenCluster, wish: PgStandby, primary: SeenMember) -> dict[str, str] | None:
    """Return what is asked of the connection string; None while a secret is missing."""
    if wish.user is None:
        return {}
    host, _, port = (wish.primary or primary.address).rpartition(":")
    wanted = {"host": host.strip("[]"), "port": port, "user": wish.user}
    if wish.application_name is not None:
        wanted["application_name"] = wish.application_name
    if wish.password is not None:
        secret = seen.secrets.get(wish.password)
        if secret is None:
            return None
        wanted["password"] = secret.value
    return wanted


def rows_of(spec: PostgresClusterSpec, name: str, primary: SeenMember) -> tuple[Downstream, ...] | None:
    """Return a standby's streams as the primary has them; None where its name there is not said."""
    wish = spec.replication.standbys[name]
    names = {wish.application_name, wish.slot} - {None}
    if not names:
        return None
    return tuple(
        [each for each in primary.downstream if each.slot in names or each.application_name in names]
    )


def sent_to(spec: PostgresClusterSpec, seen: SeenCluster) -> Mapping[str, int]:
    """Return up to where the primary has sent WAL to each standby, as far as it says so."""
    primary = seen.primary
    found: dict[str, int] = {}
    for name in spec.replication.standbys if primary is not None else ():
        rows = rows_of(spec, name, primary) if primary is not None else None
        if rows and rows[0].sent is not None:
            found[name] = rows[0].sent
    return found


def is_silent(member: SeenMember, sent_before: int | None) -> bool:
    """Whether a standby's receiver says that it streams, and hears nothing of what was sent long ago.

    On a primary where nothing happens no message comes either: so only what was sent, and is not there at a
    later look, is told from that.
    """
    if member.receiver is None or member.receiver.silent_s is None:
        return False
    if sent_before is None or member.received is None or sent_before <= member.received:
        return False
    return member.receiver.silent_s > SILENT_S


def behind_bytes(member: SeenMember, primary: SeenMember | None) -> int | None:
    """Return how far a standby's replay is behind the primary; None is unknown, never 0."""
    if primary is None or primary.position is None or member.position is None:
        return None
    if member.receiver is None or member.timeline != primary.timeline:
        return None  # it receives nothing, or stands on another history: positions cannot be compared
    return max(0, primary.position - member.position)


def behind_s(member: SeenMember, primary: SeenMember | None) -> float | None:
    """Return for how long a standby has been behind; 0 where it has replayed all. None is unknown."""
    behind = behind_bytes(member, primary)
    if behind is None:
        return None
    return 0.0 if behind == 0 or member.position == member.received else member.quiet_s


def slot_line(found: SeenSlot) -> str:
    """Describe a slot without what always moves."""
    state = "in use" if found.active else "not in use"
    status = f", WAL {found.wal_status}" if found.wal_status not in {None, "reserved", "extended"} else ""
    return f"{_sort(found.plugin, found.database)}, {state}{status}"
