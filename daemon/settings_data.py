"""Data services in the settings: where they are, and as whom the daemon comes."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints

from crds.meta import Model, ObjectName
from daemon.credentials import TokenFile
from daemon.settings_hooks import AbsolutePath

_LARGEST_PORT: Final = 65535


def _with_port(address: str) -> str:
    port = int(address.rpartition(":")[2])
    if not 0 < port <= _LARGEST_PORT:
        raise ValueError(f"there is no port {port}: 1 to {_LARGEST_PORT}")
    return address


HostPort = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9.:\[\]_-]{1,255}:\d{1,5}$"), AfterValidator(_with_port)
]
HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s@]+$")]
UserText = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.@-]{1,63}$")]


class PoolerSettings(Model):
    """pgBouncer's admin console."""

    address: HostPort
    """HOST:PORT of pgBouncer."""
    user: UserText
    """One of its admin_users."""
    password_file: TokenFile
    """File with the password, one line, that only its owner can read; or credential:NAME."""
    ca_file: AbsolutePath | None = None
    """Certificate of the CA: then TLS is required and the server's name is verified."""


class PostgresEndpoint(Model):
    """The members of one PostgreSQL cluster, and its pooler."""

    type: Literal["postgres"]
    members: Annotated[dict[ObjectName, HostPort], Field(min_length=1, max_length=16)]
    """HOST:PORT of each member by its name; which of them is the primary is seen, not said."""
    user: UserText
    """Role that the daemon comes as."""
    password_file: TokenFile
    """File with the password, one line, that only its owner can read; or credential:NAME."""
    database: UserText = "postgres"
    """Database to connect to where no other one is meant."""
    ca_file: AbsolutePath | None = None
    """Certificate of the CA: then TLS is required and the server's name is verified."""
    pooler: PoolerSettings | None = None
    """pgBouncer in front of it."""
    patroni: tuple[HttpUrl, ...] = ()
    """Patroni's REST API of each member, if Patroni runs them: then it decides who is the primary."""


class RedisEndpoint(Model):
    """One Redis server."""

    type: Literal["redis"]
    address: HostPort
    """HOST:PORT."""
    user: UserText | None = None
    """ACL user; the default user if it is left out."""
    password_file: TokenFile | None = None
    """File with the password, one line, that only its owner can read; or credential:NAME."""
    ca_file: AbsolutePath | None = None
    """Certificate of the CA: then TLS is required and the server's name is verified."""
    config_command_file: TokenFile | None = None
    """File with the name that CONFIG was given by rename-command, if it was renamed."""


class RabbitEndpoint(Model):
    """The management API of a RabbitMQ broker or cluster."""

    type: Literal["rabbitmq"]
    urls: Annotated[tuple[HttpUrl, ...], Field(min_length=1)]
    """http://HOST:15672 of each node; they are tried in this order."""
    user: UserText
    """User that the daemon comes as."""
    password_file: TokenFile
    """File with the password, one line, that only its owner can read; or credential:NAME."""
    ca_file: AbsolutePath | None = None
    """Certificate of the CA of https:// addresses; the system's own ones if it is left out."""


class ElasticsearchEndpoint(Model):
    """An Elasticsearch cluster."""

    type: Literal["elasticsearch"]
    urls: Annotated[tuple[HttpUrl, ...], Field(min_length=1)]
    """http://HOST:9200 of each node; they are tried in this order."""
    user: UserText | None = None
    """User that the daemon comes as; nobody if it is left out."""
    password_file: TokenFile | None = None
    """File with the user's password, or without a user with an API key; one line, closed to others."""
    ca_file: AbsolutePath | None = None
    """Certificate of the CA of https:// addresses; the system's own ones if it is left out."""


DataEndpoint = PostgresEndpoint | RedisEndpoint | RabbitEndpoint | ElasticsearchEndpoint
#: By their ``type``.
DATA_ENDPOINTS: Final[dict[str, type[Model]]] = {
    "postgres": PostgresEndpoint,
    "redis": RedisEndpoint,
    "rabbitmq": RabbitEndpoint,
    "elasticsearch": ElasticsearchEndpoint,
}


def password_files(endpoint: DataEndpoint) -> dict[tuple[str, ...], TokenFile]:
    """Return the secret files of an endpoint by the path of their field."""
    files: dict[tuple[str, ...], TokenFile | None] = {("passwordFile",): endpoint.password_file}
    if isinstance(endpoint, PostgresEndpoint) and endpoint.pooler is not None:
        files["pooler", "passwordFile"] = endpoint.pooler.password_file
    if isinstance(endpoint, RedisEndpoint):
        files[("configCommandFile",)] = endpoint.config_command_file
    return {path: file for path, file in files.items() if file is not None}
