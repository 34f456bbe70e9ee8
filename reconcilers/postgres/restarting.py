"""Restarts of members whose settings wait for one: in an order that a standby survives, one by one: pure.

A hook does it, or the member's Container, which is asked for it. A restart's name says which start of the
member it ends, and for which spec: it is tried once under this name.
"""

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from crds.meta import Key, Verb
from crds.postgres import PgRestart, PostgresClusterSpec
from reconcilers.contract import AnyResource, Ask, Resource
from reconcilers.hook_runs import HookResult, HookState
from reconcilers.postgres.configuration import PostgresStep, directions, setting_steps, waiting
from reconcilers.postgres.errands import hook_step
from reconcilers.postgres.model import Host, LostMember, SeenCluster, SeenMember


def restart_name(cluster: Resource[PostgresClusterSpec], member: SeenMember) -> str:
    """Name the restart of this start of a member, for this spec: it is tried once."""
    what = f"{cluster.uid}/{cluster.generation}/{member.started_at}".encode()
    return f"{cluster.key.name}.restart.{member.name}.{hashlib.sha256(what).hexdigest()[:12]}"


def restart_runs(
    cluster: Resource[PostgresClusterSpec], members: Iterable[SeenMember | LostMember]
) -> tuple[str, ...]:
    """Return the names of the hook's runs that a plan must know about."""
    if cluster.spec.restart is None or cluster.spec.restart.hook is None:
        return ()
    return tuple(restart_name(cluster, each) for each in members if isinstance(each, SeenMember))


def container_key(name: str) -> Key:
    """Return the key of a member's Container."""
    return Key("Container", name)


def asked_restart(
    cluster: Resource[PostgresClusterSpec], member: SeenMember, container: AnyResource
) -> Mapping[str, HookResult]:
    """Return what became of the restart of this start of a member, if its container was asked for it."""
    name = restart_name(cluster, member)
    asked = next((each for each in container.requests if each.asks(str(cluster.key), name)), None)
    if asked is None:
        return {}
    if asked.answer is None:
        return {name: HookResult(str(container.key), HookState.RUNNING, "it is asked for")}
    state = HookState.PASSED if asked.accepted else HookState.FAILED
    return {name: HookResult(str(container.key), state, asked.answer)}


def restart_steps(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> Iterable[PostgresStep]:
    """Yield the hook's restart of the next member whose settings wait for one; the others come after it."""
    hook = cluster.spec.restart.hook if cluster.spec.restart is not None else None
    member = _turn(cluster, seen)
    if hook is None or hook not in seen.hooks or member is None:
        return
    yield hook_step(
        cluster,
        member,
        restart_name(cluster, member),
        hook,
        path="restart",
        text=f"restart {member.name} by hook {hook}: {_gain(cluster, seen, member)}",
        needs=Verb.RESTART,
    )


def restart_asks(
    cluster: Resource[PostgresClusterSpec], seen: SeenCluster, steps: Sequence[PostgresStep]
) -> tuple[Ask, ...]:
    """Ask the Container of the next member for its restart, once nothing else can surely be done."""
    allowed = {None, *cluster.spec.allow}
    if cluster.held is not None or cluster.orphaned_since is not None or Verb.RESTART not in allowed:
        return ()
    member = _turn(cluster, seen) if not _has_patroni(seen) else None
    host = seen.hosts.get(member.name) if member is not None else None
    if (
        member is None
        or host is None
        or any(step.needs in allowed and not step.independent for step in steps)
    ):
        return ()
    reason = f"PostgreSQL {member.name}: {_gain(cluster, seen, member)}"
    return (Ask(container_key(host.name), "restart", restart_name(cluster, member), reason),)


def restart_waiting(seen: SeenCluster, asks: Sequence[Ask]) -> str | None:
    """Return which restart through a container is asked for and not answered yet."""
    asked = {ask.key for ask in asks}
    for name, host in seen.hosts.items():
        if host.is_asked or container_key(host.name) in asked:
            return f"restart of {name} through {container_key(host.name)}"
    return None


def next_to_restart(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> SeenMember | None:
    """Return who comes next: standbys first, but the primary where a setting shrinks; None for nobody."""
    waits = {each.partition(":")[0] for each in waiting(cluster, seen)}
    rises, falls = directions(cluster, seen)
    members = [each for each in seen.answering if each.name in waits]
    if not members or seen.primary is None or (rises and falls):
        return None
    return min(members, key=lambda each: (each.is_standby is falls, each.name))


def _turn(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> SeenMember | None:
    """Return whom to restart now; None for nobody, or for somebody whose restart was tried already."""
    member = next_to_restart(cluster, seen)
    if member is None or seen.unseen_runs is not None or restart_name(cluster, member) in seen.runs:
        return None
    if any(_host_problems(cluster, seen)) or any(host.is_asked for host in seen.hosts.values()):
        return None
    # Whose turn it is follows from what is written on all: not before it is.
    return None if _is_anybody_away(cluster, seen) or any(setting_steps(cluster, seen)) else member


def _has_patroni(seen: SeenCluster) -> bool:
    return any(each.has_patroni for each in seen.answering)


def _gain(cluster: Resource[PostgresClusterSpec], seen: SeenCluster, member: SeenMember) -> str:
    names = [
        each.partition(": ")[2] for each in waiting(cluster, seen) if each.startswith(f"{member.name}: ")
    ]
    return f"{', '.join(names)} would take effect"


def has_restarted(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> bool:
    """Whether the restart of a start of a member that was seen has passed: that start may be over by now."""
    found = [seen.runs.get(restart_name(cluster, each)) for each in seen.answering]
    return any(each is not None and each.state is HookState.PASSED for each in found)


def _is_anybody_away(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> bool:
    """Whether a member does not answer, or a standby that must stream receives nothing."""
    standbys = [seen.member(name) for name in cluster.spec.replication.standbys]
    is_lost = any(isinstance(each, LostMember) for each in seen.members)
    return is_lost or any(each is not None and each.is_standby and each.receiver is None for each in standbys)


def restart_problems(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> Iterable[tuple[str, str]]:
    """Yield reason and message of a restart that cannot be, may not be, or will not be tried again."""
    if cluster.spec.restart is None:
        return
    yield from _host_problems(cluster, seen)
    if directions(cluster, seen) == (True, True):
        yield (
            "RestartOrder",
            "some settings rise, others fall, and no order is safe for both: first the one",
        )
    member = next_to_restart(cluster, seen)
    if member is None:
        return
    how = f"restart of {member.name} {_through(cluster.spec.restart, member)}"
    result = seen.runs.get(restart_name(cluster, member))
    if result is not None and result.is_over:
        passed = result.state is HookState.PASSED
        yield (
            "RestartFailed",
            f"{how}: {'it passed, and the server runs as before' if passed else result.says}",
        )
    if result is not None or not cluster.spec.restart.containers:
        return  # the gate holds a hook's step, and says so
    gain = _gain(cluster, seen, member)
    if _has_patroni(seen):
        yield "ManagedByPatroni", f"Patroni runs this cluster: nobody is restarted from here. {how}: {gain}"
    elif Verb.RESTART not in cluster.spec.allow:
        yield "NotAllowed", f"{how}: {gain}: needs allow: [restart]"


def _through(restart: PgRestart, member: SeenMember) -> str:
    if restart.hook is not None:
        return f"by hook {restart.hook}"
    return f"through {container_key(restart.containers.get(member.name, ''))}"


def _host_problems(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> Iterable[tuple[str, str]]:
    """Yield why a member's container cannot be named for sure: another one must never be restarted."""
    named = cluster.spec.restart.containers if cluster.spec.restart is not None else {}
    members = [each.name for each in seen.members]
    for name, container in named.items():
        if name not in members:
            known = ", ".join(members)
            yield "UnknownMember", f"restart.containers: the endpoint has no member {name}; it has: {known}"
        if name not in seen.hosts:
            yield "UnknownContainer", f"restart.containers.{name}: there is no {container_key(container)}"
    for name in members if named else ():
        if name not in named:
            yield "UnknownContainer", f"restart.containers: the one of {name} is missing"
    for member in seen.answering:
        host = seen.hosts.get(member.name)
        if host is not None and _is_elsewhere(host, member):
            text = f"{container_key(host.name)} has {host.address}, and {member.name} is at {member.address}"
            yield "WrongContainer", f"restart.containers.{member.name}: {text}"


def _is_elsewhere(host: Host, member: SeenMember) -> bool:
    """Whether a member is surely not in that container: both addresses are known, and differ."""
    try:
        there = ipaddress.ip_address(member.address.rpartition(":")[0].strip("[]"))
    except ValueError:
        return False  # a name: who it is, is not asked here
    return host.address is not None and ipaddress.ip_address(host.address) != there
