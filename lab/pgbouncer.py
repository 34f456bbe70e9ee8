"""A private pgBouncer: its folder, configuration and start. What its console sets is lost when it ends."""

import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.users import as_user, give_away

PACKAGES: Final = "pgbouncer"
PROGRAM: Final = "/usr/sbin/pgbouncer"
#: Debian has no user of its own for it.
_USER: Final = "postgres"
_TIMEOUT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class BouncerConfig:
    """What is configured before the daemon comes. Addresses are HOST:PORT."""

    address: str
    server: str
    """PostgreSQL's own address."""
    databases: tuple[str, ...]
    passwords: Mapping[str, str]
    """By user; pgBouncer comes to PostgreSQL as the same user."""
    admin: str
    """Which of them may use the console."""
    more: Mapping[str, str] | None = None
    """Further settings."""


def is_installed() -> bool:
    """Whether the program is on this machine."""
    return Path(PROGRAM).exists() or shutil.which("pgbouncer") is not None


class LabBouncer:
    """One pgBouncer below a folder of its own."""

    def __init__(self, folder: Path, config: BouncerConfig) -> None:
        self.folder = folder.absolute()
        self.config = config

    @property
    def config_file(self) -> Path:
        """The rendered configuration."""
        return self.folder / "pgbouncer.ini"

    @property
    def argv(self) -> Sequence[str]:
        """How it is started after ``prepare``, in the foreground."""
        return *as_user(_USER), PROGRAM, str(self.config_file)

    def prepare(self) -> None:
        """Make the folder and its files anew."""
        self.folder.mkdir(parents=True, exist_ok=True)
        give_away(_USER, self.folder)
        users = [f'"{user}" "{password}"' for user, password in self.config.passwords.items()]
        for name, text in (("userlist.txt", "\n".join(users) + "\n"), (self.config_file.name, self._text())):
            draft = self.folder / f"{name}.draft"
            draft.touch(mode=0o600)
            draft.write_text(text)
            give_away(_USER, draft)
            draft.replace(self.folder / name)

    def is_ready(self) -> bool:
        """Whether somebody listens there."""
        host, _, port = self.config.address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_TIMEOUT_S).close()
        except OSError:
            return False
        return True

    def _text(self) -> str:
        host, _, port = self.config.address.rpartition(":")
        server, _, server_port = self.config.server.rpartition(":")
        settings = {
            "listen_addr": host,
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": str(self.folder / "userlist.txt"),
            "admin_users": self.config.admin,
            # asyncpg and JDBC ask for it, and pgBouncer cannot know it in each pool.
            "ignore_startup_parameters": "extra_float_digits",
            **(self.config.more or {}),
        }
        databases = [f"{name} = host={server} port={server_port}" for name in self.config.databases]
        lines = [f"{name} = {value}" for name, value in settings.items()]
        return "\n".join(["; Written by the lab.", "[databases]", *databases, "[pgbouncer]", *lines]) + "\n"
