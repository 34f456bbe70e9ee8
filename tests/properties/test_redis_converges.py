"""Whatever is asked of a Redis and whatever is found, crashes included: it rests as asked, and saved."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from crds.meta import Verb
from crds.redis import RedisInstanceSpec
from metrics.redis import RedisMetrics
from reconcilers.contract import Secret, Step
from reconcilers.gauges import Gauges
from reconcilers.redis.client import Command, RedisServers
from reconcilers.redis.normal import is_same
from reconcilers.redis.reconciler import RedisReconciler
from reconcilers.redis.rights import fingerprint
from tests.builders import START
from tests.builders_haproxy import Desk
from tests.fakes.redis import FakeRedis, FakeUser
from tests.real_redis import KEY, NamedSecrets, a_redis

READING = {"INFO", "CONFIG GET", "ACL WHOAMI", "ACL GETUSER", "ACL CAT", "COMMAND INFO"}
VALUES: Mapping[str, list[object]] = {
    "maxmemory": ["0", "100mb", "1gb", "1073741824", 1000],
    "maxmemory-policy": ["noeviction", "allkeys-lru", "Volatile-LRU"],
    "appendonly": ["yes", "no", True],
    "appendfsync": ["no", "everysec", "always"],
    "save": ["", "900 1", "300 10 900 1", ["900 1", "300 10"]],
    "timeout": [0, 60, "300"],
    "slave-priority": [0, 50],
    "databases": [16, 32],
}
SETTINGS = st.fixed_dictionaries({}, optional={name: st.sampled_from(each) for name, each in VALUES.items()})
RULES = st.sampled_from(
    ["+@all", "+@read", "-keys", "+config|get", "-@dangerous", "+set", "-@all", "+config"]
)
ACCOUNTS = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans(),
        "passwords": st.sampled_from([[], ["one"], ["two", "one"]]),
        "keys": st.sampled_from([[], ["*"], ["app:*"], ["%R~app:*", "b*"]]),
        "channels": st.sampled_from([[], ["*"], ["app.*"]]),
        "commands": st.lists(RULES, max_size=4),
    },
)
SPECS = st.fixed_dictionaries(
    {"config": SETTINGS, "users": st.dictionaries(st.sampled_from(["app", "psa"]), ACCOUNTS, max_size=2)},
    optional={
        "password": st.sampled_from(["one", "own"]),
        "allow": st.lists(st.sampled_from([each.value for each in Verb]), max_size=3, unique=True),
        "replication": st.sampled_from([{"replicaOf": "10.0.0.9:6379"}, {"role": "primary"}]),
    },
)
FOUND_USERS = st.builds(
    FakeUser,
    enabled=st.booleans(),
    needs_no_password=st.booleans(),
    base=st.sampled_from(["+@all", "-@all"]),
    rules=st.lists(RULES.filter(lambda rule: "@all" not in rule), max_size=2, unique=True).map(tuple),
    keys=st.sampled_from([(), ("~*",), ("~app:*",)]),
)
WORLDS = st.builds(
    FakeRedis,
    user=st.sampled_from(["default", "psa"]),
    own=st.just(Secret("own password")),
    has_file=st.booleans(),
    has_config=st.booleans(),
    keys=st.sampled_from([0, 12]),
    used_bytes=st.sampled_from([1_000_000, 500_000_000]),
    primary=st.sampled_from([None, "10.0.0.8:6379"]),
    users=st.fixed_dictionaries({"default": FOUND_USERS}, optional={"app": FOUND_USERS, "psa": FOUND_USERS}),
)
SECRETS = NamedSecrets(one="the first", two="the second", own="own password")


def a_desk(world: FakeRedis, spec: Mapping[str, Any]) -> Desk:
    servers = RedisServers({"redis": world})
    reconciler = RedisReconciler(servers, SECRETS, RedisMetrics(CollectorRegistry()), Gauges(), lambda: START)
    desk = Desk({"RedisInstance": reconciler})
    desk.put(a_redis(**spec))
    return desk


async def settled(desk: Desk) -> None:
    """Make passes as the engine does: what may not be done, and all behind it, is left."""
    allowed = set(spec_of(desk).allow)
    open_steps: list[Step[Any]] = []
    for _ in range(8):
        plan, open_steps = await desk.look(KEY), []
        for step in plan.steps:
            if step.needs is not None and step.needs not in allowed:
                break
            open_steps.append(step)
        for step in open_steps:
            await desk.reconcilers["RedisInstance"].apply(step)
        desk.keep(KEY, plan)
        if not open_steps:
            return
    raise AssertionError(f"not quiet: {[step.summary for step in open_steps]}")


def spec_of(desk: Desk) -> RedisInstanceSpec:
    found = desk.state.objects[KEY].spec
    assert isinstance(found, RedisInstanceSpec)
    return found


def is_reading(command: Command) -> bool:
    return command[0] in READING or " ".join(command[:2]) in READING


@given(world=WORLDS, spec=SPECS, crashes=st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=3))
async def test_it_rests_as_asked_after_crashes_of_ours_and_of_the_server(
    world: FakeRedis, spec: Mapping[str, Any], crashes: list[tuple[int, bool]]
) -> None:
    desk = a_desk(world, spec)
    for crash_after, restarts in crashes:
        plan = await desk.look(KEY)
        allowed = [step for step in plan.steps if step.needs is None or step.needs in spec_of(desk).allow]
        for step in allowed[:crash_after]:
            await desk.reconcilers["RedisInstance"].apply(step)
        if restarts:
            world.restart()
    await settled(desk)
    world.calls.clear()
    await settled(desk)
    assert [each for each in world.calls if not is_reading(each)] == [], "it does not rest"

    plan = await desk.look(KEY)
    if plan.blocked is None and not plan.steps and world.has_config:
        assert_as_asked(world, spec_of(desk))
    if world.has_config and world.has_file:
        now = dict(world.settings), dict(world.users), world.primary
        world.restart()
        assert (dict(world.settings), dict(world.users), world.primary) == now, "not saved"


def assert_as_asked(world: FakeRedis, spec: RedisInstanceSpec) -> None:
    names = {"slave-priority": "replica-priority"}
    for name, value in spec.config.items():
        assert is_same(name, value, world.settings[names.get(name, name)])
    for name, account in spec.users.items():
        found = world.users[name]
        assert found.enabled == account.enabled
        assert not found.needs_no_password
        assert found.hashes == {fingerprint(SECRETS.read(each)) for each in account.passwords}
    if spec.password is not None:
        assert world.users["default"].hashes == {fingerprint(SECRETS.read(spec.password))}
    if spec.replication.replica_of is not None:
        assert world.primary == spec.replication.replica_of


@given(world=WORLDS, spec=SPECS)
async def test_nothing_locks_the_daemon_out_makes_a_primary_or_replaces_keys_unasked(
    world: FakeRedis, spec: Mapping[str, Any]
) -> None:
    before, keys, primary = world.users.get(world.user), world.keys, world.primary
    desk = a_desk(world, spec)
    await settled(desk)

    mine = world.users.get(world.user)
    if mine != before:
        assert mine is not None
        assert mine.enabled or (before is not None and not before.enabled)
        assert fingerprint(Secret("own password")) in mine.hashes
    if "replace-data" not in spec.get("allow", []) and keys:
        assert (world.primary, world.keys) == (primary, keys)
    assert ("REPLICAOF", "NO", "ONE") not in world.calls
