"""What a spec's settings ask of a server: pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from crds.meta import Verb
from crds.redis import RedisInstanceSpec
from reconcilers.contract import Change, Resource, Secret, Step, StepClass
from reconcilers.redis.model import Info, RedisAction, Saves, SaveTo, SeenRedis, SetConfig
from reconcilers.redis.normal import IMMUTABLE, amount, canonical, is_same

RedisStep = Step[RedisAction]

#: Read at each look: they decide what a change would do, where it is kept, and what people are told.
ALWAYS_READ: Final = ("aclfile", "appendonly", "appendfsync", "save", "maxmemory", "maxmemory-policy")
_FSYNC: Final = ("no", "everysec", "always")
_WHY: Final = {
    Verb.LOWER_DURABILITY: "less of what is written outlives a crash",
    Verb.EVICT: "more is in use than the limit: keys are evicted at once, or writes refused",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that is not as asked."""

    name: str
    found: str
    wanted: str

    @property
    def words(self) -> str:
        return f"{self.name} {shown(self.found)} → {shown(self.wanted)}"


def shown(value: str) -> str:
    return value or '""'


def wanted_settings(spec: RedisInstanceSpec) -> Mapping[str, str]:
    """Return the settings that a spec asks for, by the names of Redis 7, passwords left out."""
    # Redis refuses two blanks in a row.
    asked = {canonical(name): " ".join(value.split()) for name, value in spec.config.items()}
    return asked if spec.replication.user is None else asked | {"masteruser": spec.replication.user}


def wanted_secrets(spec: RedisInstanceSpec, passwords: Mapping[str, Secret]) -> Mapping[str, Secret]:
    """Return the passwords among the settings that a spec asks for; the default user's is an account's."""
    name = spec.replication.password
    return {} if name is None else {"masterauth": passwords[name]}


def questions(spec: RedisInstanceSpec) -> tuple[str, ...]:
    """Return the settings to read."""
    own = ["requirepass"] if spec.password is not None else []
    own += ["masterauth"] if spec.replication.password is not None else []
    return tuple(dict.fromkeys([*ALWAYS_READ, *wanted_settings(spec), *own]))


def differences(spec: RedisInstanceSpec, found: Mapping[str, str]) -> tuple[Difference, ...]:
    """Return what is not as asked among the settings that the server told."""
    return tuple(
        Difference(name, found[name], value)
        for name, value in wanted_settings(spec).items()
        if name in found and not is_same(name, value, found[name])
    )


def saves_for(seen: SeenRedis, *, users: bool = False) -> Saves:
    """Return the files that keep a change of settings, or of *users*."""
    settings = seen.look.settings
    config = (SaveTo.CONFIG_FILE,) if settings is not None and seen.look.info.has_config_file else ()
    if not users:
        return config
    # Without CONFIG nobody can tell whether there is an ACL file: it is tried.
    has_acl_file = settings is None or settings.get("aclfile", "") != ""
    return (SaveTo.ACL_FILE,) if has_acl_file else config


def setting_steps(redis: Resource[RedisInstanceSpec], seen: SeenRedis) -> tuple[RedisStep, ...]:
    """Return the steps that set what differs: the harmless in one, then one for each destructive verb.

    What was refused among others has a step of its own at the end.
    """
    found = seen.look.settings
    if found is None:
        return ()
    pending = [each for each in differences(redis.spec, found) if each.name not in IMMUTABLE]
    groups: dict[Verb | None, list[Difference]] = {}
    alone: list[RedisStep] = []
    for each in pending:
        verb = _verb(each, redis.spec, seen.look.info, pending)
        if (each.name, each.wanted) in seen.look.refused:
            alone.append(_step(redis, seen, [each], [], verb))
        else:
            groups.setdefault(verb, []).append(each)
    secrets = [
        (name, secret)
        for name, secret in wanted_secrets(redis.spec, seen.passwords).items()
        if found.get(name) != secret.value
    ]
    steps = [_step(redis, seen, groups.get(None, []), secrets)] if secrets or None in groups else []
    steps += [_step(redis, seen, group, [], verb) for verb, group in groups.items() if verb is not None]
    return (*steps, *alone)


def _step(
    redis: Resource[RedisInstanceSpec],
    seen: SeenRedis,
    pending: Iterable[Difference],
    secrets: Iterable[tuple[str, Secret]],
    needs: Verb | None = None,
) -> RedisStep:
    pending, secrets, endpoint = tuple(pending), tuple(secrets), redis.spec.endpoint
    changes = [Change(f"spec.config.{each.name}", shown(each.found), shown(each.wanted)) for each in pending]
    changes += [Change("spec.replication.password", "another", "as the secret says") for _ in secrets]
    words = [*(each.words for each in pending), *(f"{name} as its secret says" for name, _ in secrets)]
    why = "" if needs is None else f": {_WHY[needs]}"
    settings = tuple((each.name, each.wanted) for each in pending)
    return Step(
        SetConfig(endpoint, settings, secrets, saves_for(seen)),
        StepClass.ABSOLUTE,
        target=f"Redis {endpoint}",
        summary=f"set {', '.join(words)}, live, no restart{why}",
        changes=tuple(changes),
        needs=needs,
        origin=redis.where(changes[0].path),
    )


def _verb(
    difference: Difference, spec: RedisInstanceSpec, info: Info, pending: Iterable[Difference]
) -> Verb | None:
    match difference.name:
        case "appendonly" if difference.wanted.lower() == "no":
            return Verb.LOWER_DURABILITY
        case "save" if not difference.wanted.split():
            return Verb.LOWER_DURABILITY
        case "appendfsync" if _is_weaker(difference.wanted.lower(), difference.found.lower()):
            return Verb.LOWER_DURABILITY
        case "maxmemory" | "maxmemory-policy" if _evicts(spec, info, pending):
            return Verb.EVICT
        case _:
            return None


def _is_weaker(wanted: str, found: str) -> bool:
    return wanted in _FSYNC and found in _FSYNC and _FSYNC.index(wanted) < _FSYNC.index(found)


def _evicts(spec: RedisInstanceSpec, info: Info, pending: Iterable[Difference]) -> bool:
    """Whether, with what is asked, keys would go at once or writes be refused."""
    asked = wanted_settings(spec)
    limit = amount(asked.get("maxmemory", "")) if "maxmemory" in asked else info.memory.limit_bytes
    is_over = limit is not None and info.memory.used_bytes > limit > 0
    policy = asked.get("maxmemory-policy", info.memory.policy).lower()
    lowers = any(each.name == "maxmemory" for each in pending)
    return is_over and (lowers or policy != "noeviction")


def setting_problems(spec: RedisInstanceSpec, seen: SeenRedis) -> Iterable[tuple[str, str]]:
    """Yield what no step can do: settings that do not exist, and those that need a restart."""
    found = seen.look.settings
    if found is None:
        told = differences(spec, seen.look.info.settings)
        if told:
            words = ", ".join(each.words for each in told)
            text = f"{words} cannot be set: the server has no CONFIG command; change its file, restart it"
            yield "ConfigUnavailable", text
        return
    missing = [name for name in wanted_settings(spec) if name not in found]
    if missing:
        text = f"Redis {seen.look.info.version} has no setting {', '.join(missing)}"
        yield "UnknownSetting", text
    fixed = [each for each in differences(spec, found) if each.name in IMMUTABLE]
    if fixed:
        words = ", ".join(
            f"{each.name} is {shown(each.found)}, {shown(each.wanted)} is asked" for each in fixed
        )
        text = f"{words}: Redis reads this only as it starts; change its file, and restart it"
        yield "ImmutableConfig", text


def attested(spec: RedisInstanceSpec, seen: SeenRedis) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the settings that INFO confirms, and those that only the server's file can, without CONFIG."""
    if seen.look.settings is not None:
        return (), ()
    told = seen.look.info.settings
    differing = {each.name for each in differences(spec, told)}
    names = [*wanted_settings(spec), *wanted_secrets(spec, seen.passwords)]
    verified = tuple(name for name in names if name in told and name not in differing)
    return verified, tuple(name for name in names if name not in told)
