"""A private Redis: its folder, configuration and life. What the daemon sets lands in the same file."""

import contextlib
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.life import Life
from lab.users import as_user, give_away

PROGRAM: Final = "redis-server"
PACKAGES: Final = "redis-server"
_USER: Final = "redis"


@dataclass(frozen=True, slots=True)
class RedisConfig:
    """What is configured before the daemon comes. ``address`` is HOST:PORT."""

    address: str
    password: str | None = None
    config_command: str | None = None
    """What CONFIG is called; an empty text disables it, None leaves its name."""
    disabled: tuple[str, ...] = ()
    """Commands that cannot be run."""
    more: tuple[str, ...] = ()
    """Further lines of redis.conf."""


def is_installed() -> bool:
    """Whether the program is on this machine."""
    return shutil.which(PROGRAM) is not None


class LabRedis:
    """One Redis below a folder of its own. All calls block; each ends within its time or raises."""

    def __init__(self, folder: Path, config: RedisConfig) -> None:
        self.folder = folder.absolute()
        self.config = config
        self.life = Life("Redis", self.folder, self.log)

    @property
    def config_file(self) -> Path:
        """The configuration, which CONFIG REWRITE replaces: its folder belongs to Redis's user."""
        return self.folder / "redis.conf"

    @property
    def log(self) -> Path:
        """What Redis itself prints."""
        return self.folder / "redis.log"

    @property
    def argv(self) -> Sequence[str]:
        """How it is started after ``prepare``, in the foreground."""
        return *as_user(_USER), shutil.which(PROGRAM) or PROGRAM, str(self.config_file)

    def prepare(self, *, anew: bool = False) -> None:
        """Make the folder and the file; a file that is there stays, unless it is made *anew*."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if anew or not self.config_file.exists():
            draft = self.config_file.with_suffix(".draft")
            draft.write_text(_render(self))
            draft.chmod(0o640)  # it holds the password
            draft.replace(self.config_file)
        give_away(_USER, self.folder, self.config_file)

    def start(self, seconds: float = 5.0) -> None:
        """Start it and wait until it answers. LifeError if it does not."""
        self.prepare()
        self.life.begin(self.argv, self.is_ready, seconds)

    def is_ready(self) -> bool:
        """Whether it takes commands, loading or not."""
        host, _, port = self.config.address.rpartition(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1.0) as found:
            found.sendall(b"PING\r\n")
            # Without a password it answers, too: -NOAUTH.
            return found.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        self.life.kill()

    def stop(self, grace_s: float = 2.0) -> None:
        """End it, if it runs; it saves what it shall keep."""
        self.life.stop(grace_s=grace_s)

    def restart(self, *, with_first_file: bool = False) -> None:
        """End it in order and start it again; *with_first_file* loses all that was written into its file."""
        self.stop()
        if with_first_file:
            self.prepare(anew=True)
        self.start()


def _render(redis: LabRedis) -> str:
    """Return the file that Redis begins with: what must not wait for the daemon, and no more."""
    config = redis.config
    host, _, port = config.address.rpartition(":")
    lines = [
        "# Written by the lab; CONFIG REWRITE adds what the daemon sets.",
        f"bind {host}",
        f"port {port}",
        f"dir {redis.folder}",
        # Its title would take the place of its environment, and with it of the mark that `down` finds it by.
        "set-proc-title no",
    ]
    if config.password is not None:
        lines.append(f"requirepass {_quoted(config.password)}")
    if config.config_command is not None:
        lines.append(f"rename-command CONFIG {_quoted(config.config_command)}")
    lines += [f'rename-command {name} ""' for name in config.disabled]
    return "\n".join([*lines, *config.more]) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
