"""One lab's folder: what lies where, its record, and the addresses that follow from its number."""

import contextlib
import os
import re
import secrets
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from lab.parts import Parts

#: UNIX socket paths end at 107 bytes, and HAProxy appends its pid to them while it binds.
_LONGEST_RUN: Final = 70
_RECORD: Final = "lab.json"
_FOLDERS: Final = ("desired.d", "example", "state", "log", "pve", "haproxy", "faults", "faults/hooks")
_MONITORS: Final = ("prometheus", "alertmanager")
_DATA: Final = ("data", "secrets")


class LabError(Exception):
    """The folder is not one to work in; the text says why and what to do."""


class Record(BaseModel):
    """What ``lab.json`` holds. ``mark`` is carried by every process of the lab."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    mark: str
    run: Path
    """Where the sockets and pid files are: ``D/run``, or a shorter path that it links to."""
    haproxies: int = 1
    """HAProxy nodes; two are one pair."""
    metrics: bool = False
    """Whether Prometheus and Alertmanager are parts."""
    data: bool = False
    """Whether PostgreSQL, pgBouncer, Redis, RabbitMQ and the stand-in for Elasticsearch are parts."""


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab's folder and what follows from its number."""

    root: Path
    record: Record

    @classmethod
    def create(
        cls, root: Path, number: int, *, haproxies: int = 1, metrics: bool = False, data: bool = False
    ) -> Self:
        """Make what is missing in a folder that ``former_lab`` accepted."""
        root = root.absolute()
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o755)
        record = Record(
            number=number,
            mark=secrets.token_hex(16),
            run=_make_run(root),
            haproxies=haproxies,
            metrics=metrics,
            data=data,
        )
        for name in _FOLDERS:
            (root / name).mkdir(exist_ok=True)
            (root / name).chmod(0o755)
        if data:
            _make_data(root)
        (root / _RECORD).write_text(record.model_dump_json() + "\n")
        return cls(root, record)

    @classmethod
    def open(cls, root: Path) -> Self:
        """Open a folder that ``create`` made; LabError if it is not one."""
        root = root.absolute()
        try:
            return cls(root, Record.model_validate_json((root / _RECORD).read_text()))
        except FileNotFoundError:
            raise LabError(f"{root} holds no lab: there is no {_RECORD}") from None
        except (ValidationError, OSError) as exc:
            raise LabError(f"{root / _RECORD} is not readable: {exc}") from exc

    @property
    def haproxies(self) -> range:
        """The numbers of the HAProxy nodes, from 1."""
        return range(1, self.record.haproxies + 1)

    @property
    def parts(self) -> Parts:
        """The processes of the lab."""
        return Parts(self.record.run, self.log, self.record.mark)

    @property
    def desired(self) -> Path:
        """The directory that the daemon watches."""
        return self.root / "desired.d"

    @property
    def example(self) -> Path:
        """The whole example platform in this lab's addresses, to take files from."""
        return self.root / "example"

    @property
    def state(self) -> Path:
        """The daemon's state."""
        return self.root / "state"

    @property
    def log(self) -> Path:
        """One log a part."""
        return self.root / "log"

    @property
    def config(self) -> Path:
        """The daemon's settings."""
        return self.root / "config.yaml"

    @property
    def token(self) -> Path:
        """The daemon's Proxmox token."""
        return self.root / "pve.token"

    @property
    def alert_token(self) -> Path:
        """What Alertmanager shows to the daemon."""
        return self.root / "alerts.token"

    @property
    def data(self) -> Path:
        """The data services' folders, each its server's own; elsewhere if their users cannot come here."""
        return (self.root / "data").resolve()

    @property
    def secrets(self) -> Path:
        """Passwords, a file each, that nobody else reads."""
        return self.root / "secrets"

    @property
    def faults(self) -> Path:
        """What is wrong with the applications, in force as long as it stands there."""
        return self.root / "faults" / "app.json"

    @property
    def hook_troubles(self) -> Path:
        """What is wrong with hooks, a file a hook."""
        return self.root / "faults" / "hooks"

    def socket(self, name: str) -> Path:
        """Return the path of a UNIX socket: api, app, pve, haproxy or haproxy2."""
        return self.record.run / f"{name}.sock"

    def address(self, last_two: str) -> str:
        """Return what 10.0.``last_two`` of the example is in this lab."""
        return f"127.{self.record.number}.{last_two}"

    def translate(self, text: str) -> str:
        """Move all of the example's addresses into this lab."""
        return re.sub(r"(?<![\d.])10\.0\.(?=\d)", f"127.{self.record.number}.", text)

    def remove_sockets(self) -> None:
        """Delete what is of no use when no part runs."""
        shutil.rmtree(self.record.run, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            (self.root / "run").unlink()

    def remove_contents(self) -> None:
        """Delete what a lab makes in its folder, and nothing else."""
        self.remove_sockets()
        if self.data.parent != self.root.resolve():
            shutil.rmtree(self.data, ignore_errors=True)
            (self.root / "data").unlink(missing_ok=True)
        for name in (*_FOLDERS, *_MONITORS, *_DATA, *map(haproxy_name, self.haproxies)):
            shutil.rmtree(self.root / name, ignore_errors=True)
        for path in (self.config, self.token, self.alert_token, self.root / _RECORD):
            path.unlink(missing_ok=True)


def haproxy_name(node: int) -> str:
    """Return the name of a HAProxy node's part, socket and folder."""
    return "haproxy" if node == 1 else f"haproxy{node}"


def former_lab(root: Path) -> Lab | None:
    """Return the lab that was in *root*; LabError if it still runs, or if *root* holds what no lab made."""
    if (root / _RECORD).exists():
        lab = Lab.open(root)
        if running := lab.parts.running():
            names = ", ".join(f"{name} (pid {process.pid})" for name, process in running.items())
            raise LabError(f"a lab runs in {root}: {names}; end it with `psactl lab down --dir {root}`")
        return lab
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise LabError(f"{root} exists, and is neither empty nor a lab: choose another --dir")
    return None


def _make_data(root: Path) -> None:
    """Make the folder of the data services, which run as other users where we are root."""
    data = root / "data"
    if not data.exists():
        data.unlink(missing_ok=True)  # a link to what is gone
        closed = [each for each in (root, *root.parents) if not each.stat().st_mode & stat.S_IXOTH]
        if closed and os.geteuid() == 0:
            data.symlink_to(tempfile.mkdtemp(prefix="psa-data-", dir="/tmp"))
        else:
            data.mkdir()
    data.chmod(0o755)


def _make_run(root: Path) -> Path:
    run = root / "run"
    if len(os.fsencode(run)) > _LONGEST_RUN:
        short = Path(tempfile.mkdtemp(prefix="psa-run-", dir="/tmp"))
        with contextlib.suppress(FileNotFoundError):
            run.unlink()
        run.symlink_to(short)
        run = short
    else:
        run.mkdir()
    run.chmod(0o755)
    return run
