"""The data services of a lab: their servers at its addresses, and how the daemon's settings name them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lab import redis
from lab.data import Server
from lab.data_secrets import FOR_SPECS, secret, secret_file
from lab.layout import Lab, LabError
from lab.redis import LabRedis, RedisConfig

#: Commands that the platform's design takes from Redis's clients.
_DISABLED: Final = ("FLUSHDB", "FLUSHALL")


@dataclass(frozen=True, slots=True)
class System:
    """What one system is in a lab."""

    servers: tuple[Server, ...]
    """Each listed after those that it needs."""
    endpoints: Mapping[str, Mapping[str, object]]
    """By their names in the settings."""
    urls: Mapping[str, str]
    """Where clients find its servers, by the servers' names."""
    hooks: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Programs of the settings that act on its servers."""


def systems_of(lab: Lab) -> tuple[System, ...]:
    """Return the lab's systems, the slowest to boot first; none in a lab without data services."""
    return tuple(make(lab) for make in _SYSTEMS) if lab.record.data else ()


def servers_of(lab: Lab) -> tuple[Server, ...]:
    """Return the servers of all systems."""
    return tuple(server for system in systems_of(lab) for server in system.servers)


def data_settings(lab: Lab) -> Mapping[str, Mapping[str, object]]:
    """Return endpoints, hooks and secrets of the daemon's settings."""
    systems = systems_of(lab)
    return {
        "endpoints": _joined(system.endpoints for system in systems),
        "hooks": _joined(system.hooks for system in systems),
        "secrets": {name: str(secret_file(lab, name)) for name in FOR_SPECS} if systems else {},
    }


def data_urls(lab: Lab) -> Mapping[str, str]:
    """Return where clients find each server."""
    return {name: url for system in systems_of(lab) for name, url in system.urls.items()}


def check_installed() -> None:
    """LabError with what to install where a program is missing."""
    missing = [packages for packages, is_installed in _NEEDED if not is_installed()]
    if missing:
        raise LabError(
            f"data services are not installed: apt-get install {' '.join(missing)}; or `make lab` does it"
        )


def server_of(lab: Lab, name: str) -> Server:
    """Return a server by its name; KeyError if the lab has none of that name."""
    return {server.name: server for server in servers_of(lab)}[name]


def redis_of(lab: Lab) -> LabRedis:
    """Return the lab's Redis, whether or not it runs."""
    config = RedisConfig(
        f"{lab.address('30.12')}:6379",
        password=secret(lab, "redis-password"),
        config_command=secret(lab, "redis-config-command"),
        disabled=_DISABLED,
    )
    return LabRedis(lab.data / "redis", config)


def _redis(lab: Lab) -> System:
    program = redis_of(lab)
    address = program.config.address
    endpoint = {
        "type": "redis",
        "address": address,
        "passwordFile": str(secret_file(lab, "redis-password")),
        "configCommandFile": str(secret_file(lab, "redis-config-command")),
    }
    return System(
        (Server("redis", program),),
        {"psa-redis": endpoint},
        {"redis": f"redis://{address}"},
    )


_SYSTEMS: Final[tuple[Callable[[Lab], System], ...]] = (_redis,)
_NEEDED: Final[tuple[tuple[str, Callable[[], bool]], ...]] = (("redis-server", redis.is_installed),)


def _joined(parts: Iterable[Mapping[str, Mapping[str, object]]]) -> Mapping[str, object]:
    return {name: value for part in parts for name, value in part.items()}
