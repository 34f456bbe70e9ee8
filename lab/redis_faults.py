"""``python -m lab fault redis``: what happens to a cache."""

import os
from collections.abc import Mapping
from typing import Final

import click
from redis import Redis
from redis.exceptions import RedisError

from lab.data import start_server, wait_for_server
from lab.data_fault_command import WELL, Action, fault_command
from lab.data_secrets import secret
from lab.data_systems import redis_of, server_of
from lab.layout import Lab
from lab.users import give_away, gives_away

_TIMEOUT_S: Final = 5.0
_USER: Final = "redis"


def ask(lab: Lab, *command: str) -> object:
    """Return Redis's answer; ClickException if it gives none, or an error."""
    host, _, port = redis_of(lab).config.address.rpartition(":")
    password = secret(lab, "redis-password")
    client = Redis(host, int(port), password=password, socket_timeout=_TIMEOUT_S, decode_responses=True)
    try:
        answer: object = client.execute_command(*command)  # type: ignore[no-untyped-call]  # the driver's
    except RedisError as exc:
        raise click.ClickException(f"Redis: {exc}") from None
    else:
        return answer
    finally:
        client.close()


def _forget(lab: Lab) -> None:
    lab.parts.end("redis")
    redis_of(lab).prepare(anew=True)
    server = server_of(lab, "redis")
    start_server(lab.parts, server)
    wait_for_server(lab.parts, server)


def _full(lab: Lab) -> None:
    config = secret(lab, "redis-config-command")
    ask(lab, config, "SET", "maxmemory", "100kb", "maxmemory-policy", "noeviction")


def _no_disk(lab: Lab) -> None:
    if not gives_away(_USER):
        raise click.ClickException("Redis runs as ourselves here: its folder cannot be taken away from it")
    os.chown(redis_of(lab).folder, 0, 0)
    ask(lab, "BGSAVE")


def _well(lab: Lab) -> None:
    folder = redis_of(lab).folder
    if folder.exists() and folder.owner() != _USER and gives_away(_USER):
        give_away(_USER, folder)
        ask(lab, "BGSAVE")


ACTIONS: Final[Mapping[str, Action]] = {
    "forget": Action("it begins anew with the file of its first start: what was set since is lost", _forget),
    "full": Action("maxmemory 100kb and noeviction, by hand: writes are refused with OOM", _full),
    "no-disk": Action("its folder is taken away: snapshots fail, then writes are refused", _no_disk),
    WELL: Action("it has its folder again; what was set by hand is for the daemon to put right", _well),
}
redis = fault_command("redis", "Do something to Redis, or let it be well again.", ACTIONS)
