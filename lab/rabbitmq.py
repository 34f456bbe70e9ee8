"""A private RabbitMQ with its management API: folder, configuration and life. Its epmd is its own, too."""

import http.client
import secrets
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.life import Life
from lab.processes import MARK, marked, send
from lab.users import as_user, give_away

PACKAGES: Final = "rabbitmq-server"
PROGRAM: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Not the wrapper in /usr/sbin: it insists on the system's own folders."""
_USER: Final = "rabbitmq"
_WITHOUT_PASSWORD: Final = 401


@dataclass(frozen=True, slots=True)
class RabbitConfig:
    """What is configured before the daemon comes. Addresses are HOST:PORT."""

    amqp: str
    """Where applications connect to."""
    management: str
    """Where the management API listens."""
    distribution_port: int
    """Port of the node itself, at the host of ``amqp``."""
    epmd_port: int
    """Port of its own port mapper, at the same host."""
    user: str
    """Administrator that a new broker has from its configuration, also after all was lost."""
    password: str
    node: str = "psa@localhost"
    """What the node is called; one port mapper knows a name once."""
    cookie: str = ""
    """What the nodes of one cluster know each other by; a broker alone makes its own."""
    has_management: bool = True
    """Whether the management plugin is enabled."""
    more: tuple[tuple[str, str], ...] = ()
    """Further lines of rabbitmq.conf, by name; they take the place of the usual ones."""


def is_installed() -> bool:
    """Whether the program is on this machine."""
    return Path(PROGRAM).exists()


class LabRabbit:
    """One broker below a folder of its own. All calls block; each ends within its time or raises."""

    def __init__(self, folder: Path, config: RabbitConfig) -> None:
        self.folder = folder.absolute()
        self.config = config
        self._mark = secrets.token_hex(16)
        self.life = Life("RabbitMQ", self.folder, self.log)

    @property
    def log(self) -> Path:
        """What RabbitMQ itself prints."""
        return self.folder / "rabbitmq.log"

    @property
    def data(self) -> Path:
        """What it keeps: without this folder it begins as a new broker."""
        return self.folder / "mnesia"

    @property
    def argv(self) -> Sequence[str]:
        """How it is started after ``prepare``, in the foreground, with ``environment``."""
        return *as_user(_USER), PROGRAM

    @property
    def environment(self) -> Mapping[str, str]:
        """All variables that it needs beside PATH and LANG."""
        host = self.config.amqp.rpartition(":")[0]
        return {
            "HOME": str(self.folder / "home"),
            "RABBITMQ_NODENAME": self.config.node,
            "RABBITMQ_NODE_IP_ADDRESS": host,
            "RABBITMQ_NODE_PORT": self.config.amqp.rpartition(":")[2],
            "RABBITMQ_DIST_PORT": str(self.config.distribution_port),
            "ERL_EPMD_ADDRESS": host,
            "ERL_EPMD_PORT": str(self.config.epmd_port),
            "RABBITMQ_MNESIA_BASE": str(self.data),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"-kernel inet_dist_use_interface {{{host.replace('.', ',')}}}"
            ),
            # The script then becomes the broker: its pid is the broker's, and SIGTERM ends it in order.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def prepare(self) -> None:
        """Make the folder and its files; data that is there stays."""
        home, cookie = self.folder / "home", self.folder / "home/.erlang.cookie"
        for each in (self.folder, home, self.data, self.folder / "log"):
            each.mkdir(parents=True, exist_ok=True)
            give_away(_USER, each)
        if not cookie.exists():
            cookie.touch(mode=0o600)
            cookie.write_text(self.config.cookie or secrets.token_hex(16))
            cookie.chmod(0o400)
        plugins = self.folder / "enabled_plugins"
        plugins.write_text("[rabbitmq_management].\n" if self.config.has_management else "[].\n")
        file = self.folder / "rabbitmq.conf"
        file.touch(mode=0o640)
        file.write_text(_render(self.config))
        give_away(_USER, cookie, plugins, file)

    def start(self, seconds: float = 60.0) -> None:
        """Start it and wait until it answers. LifeError if it does not."""
        self.prepare()
        self.life.begin(self.argv, self.is_ready, seconds, {MARK: self._mark, **self.environment})

    def is_ready(self) -> bool:
        """Whether its management API answers; without the plugin, whether its log says that it runs."""
        if not self.config.has_management:
            return "Server startup complete" in self.life.tail(30)
        return _answers(self.config.management)

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would; its port mapper stays, as it does then."""
        self.life.kill()

    def stop(self, grace_s: float = 15.0) -> None:
        """End it in order, if it runs."""
        self.life.stop(grace_s=grace_s)

    def wipe(self) -> None:
        """Take all that it kept from a broker that does not run: it will begin as a new one."""
        shutil.rmtree(self.data, ignore_errors=True)

    def end(self) -> None:
        """End it and whatever it started, its port mapper among them, at once."""
        self.kill()
        left = marked(self._mark)
        for process in left:
            send(process, signal.SIGKILL)
        self.life.wait_gone(tuple(left))


def _answers(address: str) -> bool:
    """Whether the API asks for a password there."""
    connection = http.client.HTTPConnection(address, timeout=1.0)
    try:
        connection.request("GET", "/api/overview")
        return connection.getresponse().status == _WITHOUT_PASSWORD
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _render(config: RabbitConfig) -> str:
    """Return the file that RabbitMQ begins with: what must not wait for the daemon, and no more."""
    host, _, port = config.management.rpartition(":")
    usual = {
        "listeners.tcp.1": config.amqp,
        "log.console": "true",
        "log.file": "false",
        "disk_free_limit.absolute": "50MB",
        "vm_memory_high_watermark.absolute": "1GB",
        "default_user": config.user,
        "default_pass": config.password,
        "default_user_tags.administrator": "true",
    }
    if config.has_management:
        # Statistics each second: without this they are five seconds old.
        usual |= {
            "management.tcp.ip": host,
            "management.tcp.port": port,
            "collect_statistics_interval": "1000",
        }
    lines = {**usual, **dict(config.more)}
    return (
        "\n".join(["# Written by the lab.", *(f"{name} = {value}" for name, value in lines.items())]) + "\n"
    )
