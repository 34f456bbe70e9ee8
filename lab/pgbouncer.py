"""A private pgBouncer: folder, configuration and life."""

import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lab.life import Life
from lab.users import as_user, give_away

PACKAGES: Final = "pgbouncer"
PROGRAM: Final = "/usr/sbin/pgbouncer"
_USER: Final = "postgres"
_TLS_REQUEST: Final = bytes((0, 0, 0, 8, 4, 210, 22, 47))


@dataclass(frozen=True, slots=True)
class PgbouncerConfig:
    """What is configured before the daemon comes. Addresses are HOST:PORT."""

    address: str
    server: str
    """The PostgreSQL that all databases are at."""
    admin: str
    """User of the admin console; its password is among ``users``."""
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Passwords by user, as clients come and as servers are logged in to."""
    databases: tuple[str, ...] = ()
    """Databases by name; any other one is passed on, too."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further settings of the section pgbouncer."""


def is_installed() -> bool:
    """Whether the program is on this machine."""
    return Path(PROGRAM).exists()


class LabPgbouncer:
    """One pooler below a folder of its own. All calls block; each ends within its time or raises."""

    def __init__(self, folder: Path, config: PgbouncerConfig) -> None:
        self.folder = folder.absolute()
        self.config = config
        self.life = Life("pgBouncer", self.folder, self.log)

    @property
    def config_file(self) -> Path:
        """Its file, which RELOAD reads again."""
        return self.folder / "pgbouncer.ini"

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "pgbouncer.log"

    @property
    def argv(self) -> Sequence[str]:
        """How it is started after ``prepare``, in the foreground; it needs no variables."""
        return *as_user(_USER), PROGRAM, "-q", str(self.config_file)

    def prepare(self) -> None:
        """Write its files anew."""
        self.folder.mkdir(parents=True, exist_ok=True)
        users = self.folder / "users"
        for path, text in ((users, _users(self.config)), (self.config_file, _render(self.config, users))):
            path.touch(mode=0o600)
            path.write_text(text)
        give_away(_USER, self.folder, users, self.config_file)

    def start(self, seconds: float = 5.0) -> None:
        """Start it and wait until it takes connections. LifeError if it does not."""
        self.prepare()
        self.life.begin(self.argv, self.is_ready, seconds)

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        host, _, port = self.config.address.rpartition(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1.0) as found:
            found.sendall(_TLS_REQUEST)
            return found.recv(1) in {b"N", b"S"}
        return False

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        self.life.kill()

    def stop(self, grace_s: float = 2.0) -> None:
        """End it, if it runs."""
        self.life.stop(grace_s=grace_s)


def _users(config: PgbouncerConfig) -> str:
    """Return its auth_file: passwords as they are, because it logs in to the server with them."""
    return "".join(f"{_quoted(user)} {_quoted(word)}\n" for user, word in sorted(config.users.items()))


def _quoted(text: str) -> str:
    escaped = text.replace('"', '""')
    return f'"{escaped}"'


def _render(config: PgbouncerConfig, users: Path) -> str:
    host, _, port = config.address.rpartition(":")
    server_host, _, server_port = config.server.rpartition(":")
    place = f"host={server_host} port={server_port}"
    settings = {
        "listen_addr": host,
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": str(users),
        "admin_users": config.admin,
        "pool_mode": "transaction",
        "ignore_startup_parameters": "extra_float_digits",
        **config.settings,
    }
    lines = ["; Written by the lab; what is SET on the console is lost at the next start.", "[databases]"]
    lines += [f"{name} = {place} dbname={name}" for name in config.databases]
    lines += [f"* = {place}", "[pgbouncer]"]
    lines += [f"{name} = {value}" for name, value in settings.items()]
    return "\n".join(lines) + "\n"
