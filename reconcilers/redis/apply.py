"""Carries out one step on a Redis server."""

from typing import assert_never

from reconcilers.redis.client import RedisClient
from reconcilers.redis.model import Follow, RedisAction, Save, SetConfig, SetPassword, SetUser
from reconcilers.redis.rights import fingerprint


async def apply_action(client: RedisClient, action: RedisAction) -> None:
    """Send one change with what keeps it. Any of them twice is the same as once."""
    match action:
        case SetConfig(endpoint, settings, secrets, saves):
            private = [(name, secret.value) for name, secret in secrets]
            await client.set_config(endpoint, [*settings, *private], saves)
        case SetUser(endpoint, name, rules, hashes, saves):
            # "reset on" first, then the passwords: one command, so that nobody sees it half done.
            words = [*rules, *(f"#{each.value}" for each in hashes)]
            await client.set_user(endpoint, name, words, saves)
        case SetPassword(endpoint, password, has_config, saves):
            digest = fingerprint(password)
            await client.set_password(endpoint, password, digest, has_config=has_config, saves=saves)
        case Follow(endpoint, primary, saves):
            host, _, port = primary.rpartition(":")
            await client.follow(endpoint, host, port, saves)
        case Save(endpoint, saves):
            await client.save(endpoint, saves)
        case _:
            assert_never(action)
