"""Roles, their groups and their passwords: pure."""

from collections.abc import Iterable
from typing import Final

from crds.postgres import PgRole, PostgresClusterSpec
from reconcilers.contract import Change, Resource, Secret, Step, StepClass
from reconcilers.postgres.actions import PutRole, Target
from reconcilers.postgres.configuration import PostgresStep
from reconcilers.postgres.model import SeenCluster, SeenMember, SeenRole

#: Fields of a role with the words of CREATE ROLE for true and false.
_WORDS: Final = {
    "login": ("LOGIN", "NOLOGIN"),
    "createdb": ("CREATEDB", "NOCREATEDB"),
    "replication": ("REPLICATION", "NOREPLICATION"),
    "inherit": ("INHERIT", "NOINHERIT"),
}


def role_steps(
    cluster: Resource[PostgresClusterSpec], seen: SeenCluster, primary: SeenMember
) -> Iterable[PostgresStep]:
    """Yield a step a role that is not as asked, each after the roles that it shall be a member of."""
    known = primary.deep.roles
    if known is None:
        return
    there = {*known}
    for name in _groups_first(cluster.spec):
        found, wish = known.get(name), cluster.spec.roles[name]
        if found is not None and found.superuser:
            continue  # a problem, see below: whoever could change it could be it
        if not there.issuperset(wish.member_of):
            continue  # a problem, too: nobody can be a member of what is not there
        password = seen.new_verifiers.get(name)
        if found is None and wish.password is not None and password is None:
            continue  # never a role without the password that it shall have
        step = _role_step(cluster, name, found, Target(cluster.spec.endpoint, primary.name), password)
        there.add(name)
        if step is not None:
            yield step


def _groups_first(spec: PostgresClusterSpec) -> Iterable[str]:
    """Yield the roles, each after its groups; a spec has no circles."""
    waiting = [*spec.roles]
    while waiting:
        ready = [each for each in waiting if not {*spec.roles[each].member_of} & {*waiting}] or waiting
        yield from ready
        waiting = [each for each in waiting if each not in ready]


def named_roles(spec: PostgresClusterSpec) -> frozenset[str]:
    """Return the roles that are asked for, their groups, and whom something shall belong to."""
    groups = {group for each in spec.roles.values() for group in each.member_of}
    return frozenset({*spec.roles, *groups, *_owners(spec)})


def _owners(spec: PostgresClusterSpec) -> Iterable[str]:
    for database in spec.databases.values():
        for owner in (database.owner, *(schema.owner for schema in database.schemas.values())):
            if owner is not None:
                yield owner


def _role_step(
    cluster: Resource[PostgresClusterSpec],
    name: str,
    found: SeenRole | None,
    target: Target,
    password: Secret | None,
) -> PostgresStep | None:
    wish = cluster.spec.roles[name]
    options, changes = _options(wish, found)
    groups = tuple(each for each in wish.member_of if found is None or each not in found.member_of)
    limit = _limit(wish, found)
    if limit is not None:
        changes.append(Change("connectionLimit", _old(found, "connection_limit"), str(limit)))
    changes += [Change("memberOf", "not a member", each) for each in groups]
    if password is not None:
        changes.append(Change("password", "absent" if found is None else "another one", "the secret's"))
    if found is not None and not changes:
        return None
    return Step(
        PutRole(
            target,
            name,
            found is None,
            tuple(options),
            connection_limit=limit,
            verifier=password,
            groups=groups,
        ),
        StepClass.ABSOLUTE,
        target=f"role {name}",
        summary=_sentence(name, found, changes),
        changes=tuple(Change(f"roles.{name}.{each.path}", each.old, each.new) for each in changes)
        or (Change(f"roles.{name}", "absent", "there"),),
        origin=cluster.where(f"spec.roles.{name}"),
    )


def _options(wish: PgRole, found: SeenRole | None) -> tuple[list[str], list[Change]]:
    options, changes = [], []
    for field, words in _WORDS.items():
        wanted = getattr(wish, field)
        if wanted is None or (found is not None and getattr(found, field) is wanted):
            continue
        options.append(words[0] if wanted else words[1])
        changes.append(Change(field, _old(found, field), str(wanted).lower()))
    return options, changes


def _limit(wish: PgRole, found: SeenRole | None) -> int | None:
    wanted = wish.connection_limit
    return None if found is not None and found.connection_limit == wanted else wanted


def _old(found: SeenRole | None, field: str) -> str:
    return "absent" if found is None else str(getattr(found, field)).lower()


def _sentence(name: str, found: SeenRole | None, changes: list[Change]) -> str:
    what = ", ".join(f"{each.path} {each.new}" for each in changes)
    if found is None:
        return f"make role {name}: {what}" if changes else f"make role {name}"
    return f"change role {name}: " + ", ".join(f"{each.path} {each.old} → {each.new}" for each in changes)


def role_problems(
    cluster: Resource[PostgresClusterSpec], seen: SeenCluster, primary: SeenMember
) -> Iterable[tuple[str, str]]:
    """Yield reason and message of what stands in the way of a role."""
    for why in seen.missing.values():
        yield "SecretUnavailable", why
    known = primary.deep.roles
    for name, wish in cluster.spec.roles.items():
        found = (known or {}).get(name)
        if found is not None and found.superuser:
            yield "RoleIsSuperuser", f"{name} is a superuser: it is not managed from here, nor made less"
        elif found is not None and wish.password is not None and _is_hidden(found):
            message = f"nobody but a superuser may compare {name}'s password: see the grants in the how-to"
            yield "PasswordUnseen", message
        for group in wish.member_of:
            if known is not None and group not in known and group not in cluster.spec.roles:
                yield "UnknownRole", f"role {name}: there is no role {group}, and none is asked for"


def _is_hidden(found: SeenRole) -> bool:
    return found.verifier is not None and not found.verifier.value
