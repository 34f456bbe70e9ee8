"""Looks at a Redis server, and at what became of the one that it shall follow."""

from crds.redis import RedisInstanceSpec, RedisInstanceStatus
from reconcilers.contract import Resource, Secrets, View
from reconcilers.redis.accounts import asked_secrets, asked_users
from reconcilers.redis.client import RedisClient
from reconcilers.redis.configuration import questions
from reconcilers.redis.model import Questions, SeenRedis


async def observe_redis(
    client: RedisClient, secrets: Secrets, redis: Resource[RedisInstanceSpec], view: View
) -> SeenRedis:
    """Read the secrets, then ask the server. A secret that cannot be had ends the look."""
    spec = redis.spec
    passwords = {name: secrets.read(name) for name in asked_secrets(spec)}
    asked = Questions(questions(spec), asked_users(spec), spec.disabled_commands)
    look = await client.look(spec.endpoint, asked)
    return SeenRedis(look, passwords, _emptied_primary(client, spec, view))


def _emptied_primary(client: RedisClient, spec: RedisInstanceSpec, view: View) -> str | None:
    """Return how the primary that is asked for lost its keys, if it is one of ours and did."""
    wanted = spec.replication.replica_of
    if wanted is None:
        return None
    for other in view.list("RedisInstance"):
        is_it = isinstance(other.spec, RedisInstanceSpec) and client.address(other.spec.endpoint) == wanted
        if is_it and isinstance(other.status, RedisInstanceStatus) and other.status.emptied is not None:
            return other.status.emptied
    return None
