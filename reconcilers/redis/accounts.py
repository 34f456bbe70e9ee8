"""What a spec's users and passwords ask of a server, and what would lock the daemon out: pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from crds.redis import RedisAccount, RedisInstanceSpec
from reconcilers.contract import Change, Resource, Secret, Step, StepClass
from reconcilers.redis.configuration import RedisStep, saves_for
from reconcilers.redis.model import SeenRedis, SetPassword, SetUser
from reconcilers.redis.rights import (
    account_differences,
    fingerprint,
    lost_rights,
    rules_for,
    unknown_rules,
)

_DEFAULT: Final = "default"


def asked_users(spec: RedisInstanceSpec) -> tuple[str, ...]:
    """Return the ACL users to look at."""
    return tuple(spec.users) if spec.password is None else (*spec.users, _DEFAULT)


def asked_secrets(spec: RedisInstanceSpec) -> tuple[str, ...]:
    """Return the names of all secrets that a spec selects."""
    names = [each for account in spec.users.values() for each in account.passwords]
    names += [each for each in (spec.password, spec.replication.password) if each is not None]
    return tuple(dict.fromkeys(names))


def user_steps(redis: Resource[RedisInstanceSpec], seen: SeenRedis) -> tuple[RedisStep, ...]:
    """Return the steps that make users what is asked; the daemon's own password comes last."""
    spec = redis.spec
    steps = [
        _user_step(redis, seen, name, rows)
        for name, wanted in spec.users.items()
        if (rows := _rows(wanted, seen, name)) and user_problem(name, wanted, seen) is None
    ]
    if spec.password is not None and _password_differs(spec, seen) and password_problem(spec, seen) is None:
        steps.append(_password_step(redis, seen, seen.passwords[spec.password]))
    return tuple(steps)


def _rows(wanted: RedisAccount, seen: SeenRedis, name: str) -> tuple[tuple[str, str, str], ...]:
    found = seen.look.users.get(name)
    if found is None:
        return (("", "absent", "as asked"),)
    return account_differences(wanted, _hashes(wanted, seen.passwords), found, seen.look.catalog)


def _hashes(wanted: RedisAccount, passwords: Mapping[str, Secret]) -> frozenset[str]:
    return frozenset(fingerprint(passwords[name]) for name in wanted.passwords)


def _user_step(
    redis: Resource[RedisInstanceSpec], seen: SeenRedis, name: str, rows: tuple[tuple[str, str, str], ...]
) -> RedisStep:
    wanted, endpoint = redis.spec.users[name], redis.spec.endpoint
    changes = tuple(
        Change(f"spec.users.{name}" + (f".{field}" if field else ""), old, new) for field, old, new in rows
    )
    if seen.look.users.get(name) is None:
        summary = f"make the ACL user {name}"
    else:
        words = ", ".join(f"{field} {old} → {new}" for field, old, new in rows)
        summary = f"put the ACL user {name} right: {words}"
    hashes = tuple(Secret(each) for each in sorted(_hashes(wanted, seen.passwords)))
    return Step(
        SetUser(endpoint, name, rules_for(wanted), hashes, saves_for(seen, users=True)),
        StepClass.ABSOLUTE,
        target=f"ACL user {name} on {endpoint}",
        summary=summary,
        changes=changes,
        origin=redis.where(f"spec.users.{name}"),
    )


def _password_differs(spec: RedisInstanceSpec, seen: SeenRedis) -> bool:
    """Whether the default user has another password, more than one, or needs none; or CONFIG says another."""
    if spec.password is None:
        return False
    wanted, settings = seen.passwords[spec.password], seen.look.settings
    found = seen.look.users.get(_DEFAULT)
    is_other = found is None or found.needs_no_password or found.hashes != {fingerprint(wanted)}
    return is_other or (settings is not None and settings.get("requirepass") != wanted.value)


def _password_step(redis: Resource[RedisInstanceSpec], seen: SeenRedis, password: Secret) -> RedisStep:
    endpoint, found = redis.spec.endpoint, seen.look.users.get(_DEFAULT)
    old = "none needed" if found is not None and found.needs_no_password else "another"
    saves = tuple(dict.fromkeys((*saves_for(seen), *saves_for(seen, users=True))))
    return Step(
        SetPassword(endpoint, password, seen.look.settings is not None, saves),
        StepClass.ABSOLUTE,
        target=f"the default user's password on {endpoint}",
        summary=f"set the default user's password: {old} → as its secret says",
        changes=(Change("spec.password", old, "as the secret says"),),
        origin=redis.where("spec.password"),
    )


def user_problems(spec: RedisInstanceSpec, seen: SeenRedis) -> Iterable[tuple[str, str]]:
    """Yield what is not done, because it would lock the daemon out or the server does not know it."""
    for name, wanted in spec.users.items():
        problem = user_problem(name, wanted, seen) if _rows(wanted, seen, name) else None
        if problem is not None:
            yield problem
    problem = password_problem(spec, seen) if _password_differs(spec, seen) else None
    if problem is not None:
        yield problem


def user_problem(name: str, wanted: RedisAccount, seen: SeenRedis) -> tuple[str, str] | None:
    """Return reason and message of what forbids to make a user so, None if nothing does."""
    unknown = unknown_rules(wanted.commands, seen.look.catalog)
    if unknown:
        text = f"users.{name}: Redis {seen.look.info.version} knows no command {', '.join(unknown)}"
        return "UnknownCommand", text
    if name != seen.look.me:
        return None
    lost = _lost(wanted, seen)
    return None if not lost else ("CutsOff", f"users.{name} is whom the daemon comes as: {lost}")


def _lost(wanted: RedisAccount, seen: SeenRedis) -> str:
    """Say what the daemon could not do any more, empty if it still could all."""
    own = seen.look.own
    if not wanted.enabled:
        return "disabled, it could not come again"
    if own is None or fingerprint(own) not in _hashes(wanted, seen.passwords):
        return "its endpoint's passwordFile would not be among the passwords"
    lost = lost_rights(wanted.commands, seen.look.catalog)
    return f"it could not run {', '.join(lost)} any more" if lost else ""


def password_problem(spec: RedisInstanceSpec, seen: SeenRedis) -> tuple[str, str] | None:
    """Return why the default user's password is not set: the daemon comes as that user with another one."""
    if spec.password is None or seen.look.me != _DEFAULT:
        return None
    if seen.look.own == seen.passwords[spec.password]:
        return None
    text = (
        f"the daemon comes as the default user, and its endpoint's passwordFile is not what the secret"
        f" {spec.password} says: give both the same file"
    )
    return "CutsOff", text
