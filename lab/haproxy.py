"""A private HAProxy: its configuration, rendered, and its life as a master with workers."""

import os
import pwd
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.processes import Process, end, identify, is_alive, send

_BINARY: Final = "/usr/sbin/haproxy"
_USER: Final = "haproxy"
_MAINTENANCE: Final = 'status 503 content-type text/plain string "maintenance"'
#: HAProxy binds PATH.PID.tmp first, and 107 bytes is all that a UNIX socket's path can have.
_LONGEST_SOCKET: Final = 95
#: What this process started: kept, because a Popen that is forgotten while its process runs complains.
_CHILDREN: Final[list[subprocess.Popen[bytes]]] = []


class HaproxyError(Exception):
    """HAProxy did not do what it was told; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class LabServer:
    """A server line; ``options`` are HAProxy's words behind the weight, such as ``cookie blue``."""

    name: str
    address: str
    weight: int = 100
    options: str = ""


@dataclass(frozen=True, slots=True)
class LabBackend:
    """A backend; ``check`` is the path of its health check, None for servers that nobody checks."""

    name: str
    servers: tuple[LabServer, ...]
    algorithm: str = "roundrobin"
    check: str | None = "/health"
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabConfig:
    """What is configured. Addresses are ``host:port``; the frontend sends all to the first backend."""

    frontend: str
    backends: tuple[LabBackend, ...]
    stats: str | None = None
    """Page with all counters, and /metrics."""
    check_ms: int = 500
    loads_state_file: bool = False
    level: str = "admin"
    """What the socket may do: admin, operator or user."""
    log_to: str | None = None
    """Datagram socket or host:port for the log; none is written without it."""
    more: tuple[str, ...] = ()
    """Lines at the end, such as a section of its own."""


def pair(blue: str, green: str, *, name: str = "api_backend", algorithm: str = "roundrobin") -> LabBackend:
    """Return the usual backend: blue and green, 100 each, as nothing but the reconciler tells them apart."""
    return LabBackend(name, (LabServer("blue", blue), LabServer("green", green)), algorithm)


class LabHaproxy:
    """One HAProxy below a folder of its own. All calls block; each ends within its time or raises."""

    def __init__(self, folder: Path, config: LabConfig, *, socket: Path | None = None) -> None:
        """Take *folder*, made if it is missing; *socket* if its path would be too long there."""
        self.folder = folder.absolute()
        self.config = config
        self.socket = socket or self.folder / "admin.sock"
        if len(os.fsencode(self.socket)) > _LONGEST_SOCKET:
            raise HaproxyError(f"{self.socket} is too long for a UNIX socket: give a shorter path")

    @property
    def config_file(self) -> Path:
        """The rendered configuration."""
        return self.folder / "haproxy.cfg"

    @property
    def state_file(self) -> Path:
        """The server-state file that is loaded where the configuration says so."""
        return self.folder / "state"

    @property
    def maintenance_map(self) -> Path:
        """The map whose key ``maintenance`` is on or off."""
        return self.folder / "switch.map"

    @property
    def log(self) -> Path:
        """What HAProxy itself prints."""
        return self.folder / "haproxy.log"

    @property
    def address(self) -> str:
        """The socket as the daemon's settings want it."""
        return f"unix://{self.socket}"

    @property
    def argv(self) -> Sequence[str]:
        """How it is started after ``prepare``, in the foreground, as master and worker."""
        return _BINARY, "-W", "-f", str(self.config_file), "-p", str(self.folder / "haproxy.pid")

    def prepare(self) -> None:
        """Write the configuration and what it refers to; nothing that is there is lost."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        if not self.maintenance_map.exists():
            self.maintenance_map.write_text("maintenance off\n")
        if self.config.loads_state_file and not self.state_file.exists():
            self.state_file.touch(mode=0o644)
        draft = self.config_file.with_suffix(".draft")
        draft.write_text(_render(self))
        draft.replace(self.config_file)

    def start(self, seconds: float = 5.0) -> None:
        """Start it and wait until it answers. HaproxyError if it does not."""
        self.prepare()
        (self.folder / "haproxy.pid").unlink(missing_ok=True)
        with self.log.open("ab") as output:
            child = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.folder,
            )
        _CHILDREN.append(child)
        self._wait_for_worker(frozenset(), seconds, lambda: child.poll() is not None)

    def wait_ready(self, seconds: float = 5.0) -> int:
        """Wait until the runtime API answers; return the worker's pid."""
        return self._wait_for_worker(frozenset(), seconds, lambda: False)

    def reload(self, config: LabConfig | None = None, seconds: float = 5.0) -> int:
        """Have the master start a new worker, which has new counters and the configuration's weights.

        Return its pid. HaproxyError if the configuration is refused: then the old worker goes on.
        """
        before = self.worker_pid()
        master = self.master()
        if master is None:
            raise HaproxyError(f"no HAProxy runs in {self.folder}")
        if config is not None:
            self.config = config
            self.prepare()
        self._wait_listening(master, seconds)
        send(master, signal.SIGUSR2)
        return self._wait_for_worker(frozenset({before}), seconds, lambda: not is_alive(master))

    def restart(self) -> None:
        """End it at once, as a crash would, and start it again."""
        self.kill()
        self.start()

    def kill(self) -> None:
        """End master and workers with SIGKILL; the socket's file stays behind."""
        for process in self.processes():
            send(process, signal.SIGKILL)
        self._wait_gone(5.0)

    def stop(self, grace_s: float = 2.0) -> None:
        """End it; connections have *grace_s*. Also what a killed master left behind."""
        end(self.processes(), grace_s=grace_s)
        self._wait_gone(5.0)
        self.socket.unlink(missing_ok=True)

    def ask(self, command: str, seconds: float = 2.0) -> str:
        """Send one command to the runtime API and return the answer. OSError if nobody answers."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            connection.connect(str(self.socket))
            connection.sendall(command.encode() + b"\n")
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts).decode()

    def worker_pid(self) -> int | None:
        """Return the pid of the process that answers, None if none does."""
        try:
            found = re.search(r"^Pid: (\d+)$", self.ask("show info"), re.MULTILINE)
        except OSError:
            return None
        return int(found[1]) if found else None

    def master(self) -> Process | None:
        """Return the master, None if none runs."""
        try:
            pid = int((self.folder / "haproxy.pid").read_text().split()[0])
        except (FileNotFoundError, IndexError):
            return None
        return next((process for process in self.processes() if process.pid == pid), None)

    def processes(self) -> frozenset[Process]:
        """Return master and workers: all processes that were started with this very configuration file."""
        return frozenset(
            process
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit()
            and (process := identify(int(entry.name))) is not None
            and os.fsencode(self.config_file) in _command_line(entry)
        )

    def _wait_for_worker(
        self, former: frozenset[int | None], seconds: float, has_ended: Callable[[], bool]
    ) -> int:
        deadline = time.monotonic() + seconds
        while True:
            pid = self.worker_pid()
            if pid is not None and pid not in former:
                return pid
            if time.monotonic() > deadline or has_ended():
                raise HaproxyError(f"HAProxy in {self.folder} is not ready:\n{self._tail()}")
            time.sleep(0.01)

    def _wait_listening(self, master: Process, seconds: float) -> None:
        """Wait until the master heeds signals: one that comes as it starts is lost without a trace."""
        deadline = time.monotonic() + seconds
        while not _catches(master, signal.SIGCHLD):
            if time.monotonic() > deadline or not is_alive(master):
                raise HaproxyError(f"the master in {self.folder} does not listen:\n{self._tail()}")
            time.sleep(0.005)

    def _wait_gone(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while left := [process for process in self.processes() if is_alive(process)]:
            _reap()
            if time.monotonic() > deadline:
                raise HaproxyError(f"HAProxy does not end: {left}")
            time.sleep(0.01)
        _reap()

    def _tail(self, lines: int = 15) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else "(no log)"
        return "\n".join(text.splitlines()[-lines:])


def _command_line(entry: Path) -> list[bytes]:
    try:
        return (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _catches(process: Process, number: signal.Signals) -> bool:
    """Whether a process handles a signal; the master registers SIGCHLD last of all."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return False
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


def _reap() -> None:
    _CHILDREN[:] = [child for child in _CHILDREN if child.poll() is None]


def _render(haproxy: LabHaproxy) -> str:
    """Return the configuration: platform.md's load balancer, with checks that are quick enough for a lab."""
    config, switch = haproxy.config, haproxy.maintenance_map
    identity = _identity()
    owner = " ".join(f"{word} {name}" for word, name in identity)
    lines = [
        "# Written by the lab; what is changed here is lost at the next start.",
        "global",
        "    nbthread 1",
        "    maxconn 4000",
        *[f"    {word} {name}" for word, name in identity],
        f"    stats socket {haproxy.socket} mode 660 {owner} level {config.level} expose-fd listeners",
        "    hard-stop-after 5s",
        *([f"    server-state-file {haproxy.state_file}"] if config.loads_state_file else []),
        *([f"    log {config.log_to} len 2048 format raw local0"] if config.log_to else []),
        "defaults",
        "    mode http",
        "    timeout connect 1s",
        "    timeout client 30s",
        "    timeout server 30s",
        "    retries 3",
        "    option redispatch",
        *(["    load-server-state-from-file global"] if config.loads_state_file else []),
        *(["    log global", "    option httplog"] if config.log_to else []),
        "frontend api_frontend",
        f"    bind {config.frontend}",
        f"    http-request return {_MAINTENANCE} if {{ str(maintenance),map({switch},off) -m str on }}",
        f"    default_backend {config.backends[0].name}",
    ]
    for backend in config.backends:
        lines += _backend_lines(backend, config.check_ms)
    if config.stats is not None:
        lines += [
            "listen stats",
            f"    bind {config.stats}",
            "    http-request use-service prometheus-exporter if { path /metrics }",
            "    stats enable",
            "    stats uri /",
        ]
    return "\n".join([*lines, *config.more]) + "\n"


def _backend_lines(backend: LabBackend, check_ms: int) -> Sequence[str]:
    checked = f" check inter {check_ms}ms fall 3 rise 2" if backend.check is not None else ""
    return [
        f"backend {backend.name}",
        f"    balance {backend.algorithm}",
        *([f"    option httpchk GET {backend.check}", "    http-check expect status 200"] if checked else []),
        *[f"    {option}" for option in backend.options],
        *[_server_line(server, checked) for server in backend.servers],
    ]


def _server_line(server: LabServer, checked: str) -> str:
    return (
        f"    server {server.name} {server.address} weight {server.weight}{checked} {server.options}".rstrip()
    )


def _identity() -> Sequence[tuple[str, str]]:
    """Give up root after binding, where Debian's user exists; the folder is open to it."""
    if os.geteuid() != 0 or _USER not in {entry.pw_name for entry in pwd.getpwall()}:
        return ()
    return ("user", _USER), ("group", _USER)
