"""A private PostgreSQL: folder, configuration and life, as a primary or as a standby of one."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.life import Life
from lab.users import as_user, give_away

PACKAGES: Final = "postgresql-15"
BINARIES: Final = Path("/usr/lib/postgresql/15/bin")
SUPERUSER: Final = "postgres"
#: Whom standbys come as.
REPLICATOR: Final = "replicator"
_USER: Final = "postgres"
#: A server that is ready, or one that refuses for as long as it starts, answers a request for TLS.
_TLS_REQUEST: Final = bytes((0, 0, 0, 8, 4, 210, 22, 47))


class PostgresError(Exception):
    """PostgreSQL, or one of its programs, did not do what it was told; the text holds what it said."""


@dataclass(frozen=True, slots=True)
class PostgresConfig:
    """What is configured before the daemon comes. Addresses are HOST:PORT."""

    address: str
    password: str
    """Of the superuser."""
    replication_password: str
    """Of the role that standbys come as."""
    primary: str | None = None
    """Whom to follow; None for a primary."""
    slot: str | None = None
    """Slot of the primary to follow through; it is made there, if it is missing."""
    archives: bool = True
    """Whether it archives into ``archive``, a folder of its own."""
    name: str = "primary"
    """The standby's application_name, as the primary sees it."""
    more: tuple[str, ...] = ()
    """Further lines of postgresql.conf."""
    template: Path | None = None
    """Data folder of a server that does not run, to begin with instead of initdb."""


def is_installed() -> bool:
    """Whether the programs are on this machine."""
    return (BINARIES / "postgres").exists()


class LabPostgres:
    """One server below a folder of its own. All calls block; each ends within its time or raises."""

    def __init__(self, folder: Path, config: PostgresConfig) -> None:
        self.folder = folder.absolute()
        self.config = config
        self.life = Life("PostgreSQL", self.folder, self.log)

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.folder / "data"

    @property
    def archive(self) -> Path:
        """Where it archives to. Archiving fails for as long as this is no folder of its user."""
        return self.folder / "archive"

    @property
    def log(self) -> Path:
        """What the server itself prints."""
        return self.folder / "postgres.log"

    @property
    def argv(self) -> Sequence[str]:
        """How it is started after ``prepare``, in the foreground; it needs no variables."""
        return *as_user(_USER), str(BINARIES / "postgres"), "-D", str(self.data)

    def prepare(self) -> None:
        """Make what is missing: a new primary by initdb, a standby by pg_basebackup of one that runs."""
        for each in (self.folder, self.archive):
            each.mkdir(parents=True, exist_ok=True)
            give_away(_USER, each)
        if not (self.data / "PG_VERSION").exists():
            shutil.rmtree(self.data, ignore_errors=True)
            if self.config.primary is not None:
                self._copy_primary()
            else:
                self._make_anew()
        file = self.folder / "lab.conf"
        file.write_text(_render(self))
        give_away(_USER, file)

    def run(self, sql: str, database: str = "postgres", *, user: str = SUPERUSER) -> str:
        """Run SQL as the superuser by psql; return what it prints, unaligned. PostgresError if it fails.

        Each statement has a transaction of its own.
        """
        host, _, port = self.config.address.rpartition(":")
        words = ("-XqAt", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", port, "-U", user, "-d", database)
        return self._program("psql", *words, "-f", "-", password=self.config.password, given=sql)

    def start(self, seconds: float = 20.0) -> None:
        """Start it and wait until it takes commands. LifeError if it does not."""
        self.prepare()
        self.life.begin(self.argv, self.is_ready, seconds)

    def is_ready(self) -> bool:
        """Whether it takes commands: its pid file says so."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # Line 8 is the state, once it is known; a file that was left behind has the pid of nobody.
        return len(lines) > _STATE_LINE and lines[_STATE_LINE].strip() == "ready" and self._answers()

    def _answers(self) -> bool:
        host, _, port = self.config.address.rpartition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=1.0) as found:
                found.sendall(_TLS_REQUEST)
                return found.recv(1) in {b"N", b"S"}
        except OSError:
            return False

    def stop(self, grace_s: float = 10.0) -> None:
        """End it in order (fast: its sessions are ended), if it runs."""
        self.life.stop(grace_s=grace_s, number=signal.SIGINT)

    def kill(self) -> None:
        """End it at once, as a crash would (immediate: no checkpoint, no word to its sessions)."""
        self.life.kill(signal.SIGQUIT)

    def restart(self) -> None:
        """End it in order and start it again."""
        self.stop()
        self.start()

    def wipe(self) -> None:
        """Take all data from a server that does not run: it will be made anew."""
        shutil.rmtree(self.data, ignore_errors=True)

    def _make_anew(self) -> None:
        if self.config.template is not None:
            _run((*as_user(_USER), "/bin/cp", "-a", str(self.config.template), str(self.data)))
            return
        file = self.folder / "password"
        file.touch(mode=0o600)
        file.write_text(self.config.password)
        give_away(_USER, file)
        words = ("-D", str(self.data), "-U", SUPERUSER, "--auth=scram-sha-256", f"--pwfile={file}")
        try:
            self._program("initdb", *words, "--locale=C.UTF-8", "--encoding=UTF8", "--wal-segsize=1", "-N")
        finally:
            file.unlink()
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write("include_if_exists = '../lab.conf'\n")
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host replication {REPLICATOR} 127.0.0.0/8 scram-sha-256\n")
            rules.write("host all all 127.0.0.0/8 scram-sha-256\n")
        password = self.config.replication_password.replace("'", "''")
        sql = f"CREATE ROLE {REPLICATOR} REPLICATION LOGIN PASSWORD '{password}';\n"
        self._program("postgres", "--single", "-D", str(self.data), "postgres", given=sql)

    def _copy_primary(self) -> None:
        config = self.config
        host, _, port = (config.primary or "").rpartition(":")
        source = f"host={host} port={port} user={REPLICATOR} application_name={config.name}"
        words = ["-D", str(self.data), "-d", source, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync"]
        if config.slot is not None:
            words += ["-S", config.slot]
        self._program("pg_basebackup", *words, password=config.replication_password)

    def _program(self, name: str, *words: str, password: str | None = None, given: str = "") -> str:
        more = {} if password is None else {"PGPASSWORD": password}
        return _run((*as_user(_USER), str(BINARIES / name), *words), given, more)


#: The state's place in postmaster.pid, from 0.
_STATE_LINE: Final = 7


def _surroundings() -> dict[str, str]:
    # A server hands its variables to its standby's receiver: PGPASSWORD would win over what is configured.
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


def _run(argv: Sequence[str], given: str = "", more: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        argv,
        input=given,
        text=True,
        capture_output=True,
        check=False,
        timeout=60.0,
        cwd="/",
        env={**_surroundings(), **(more or {})},
    )
    if done.returncode != 0:
        raise PostgresError(f"{' '.join(argv[:8])}: {done.stderr.strip()}")
    return done.stdout.strip()


def _render(server: LabPostgres) -> str:
    """Return the settings that it begins with: what must not wait for the daemon, and no more."""
    host, _, port = server.config.address.rpartition(":")
    lines = [
        "# Written by the lab; what the daemon sets stands in postgresql.auto.conf, and wins.",
        f"listen_addresses = '{host}'",
        f"port = {port}",
        "unix_socket_directories = ''",
        "shared_buffers = 16MB",
        "max_wal_senders = 10",
        "max_replication_slots = 10",
        "fsync = off  # a lab's data may be lost with the machine",
    ]
    if server.config.archives:
        target = server.archive
        lines += ["archive_mode = on"]
        lines += [f"archive_command = 'test ! -f {target}/%f && cp %p {target}/%f'"]
    return "\n".join([*lines, *server.config.more]) + "\n"
