"""A private Elasticsearch stand-in: its folder, accounts and life. No real server can be had for the lab."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from lab.processes import Process, end, identify, send, wait_gone

PACKAGES: Final = ""
_ROOT: Final = Path(__file__).parents[1]
_TIMEOUT_S: Final = 5.0
#: What this process started: kept, because a Popen that is forgotten while its process runs complains.
_CHILDREN: Final[list[subprocess.Popen[bytes]]] = []


class ElasticsearchError(Exception):
    """The stand-in did not do what it was told; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class ElasticsearchConfig:
    """What is configured before the daemon comes. ``address`` is HOST:PORT."""

    address: str
    cluster_name: str = "psa-platform"
    accounts: Mapping[str, str] = field(default_factory=dict)
    """Passwords by user; without any, everybody may do everything."""


def is_installed() -> bool:
    """Whether it can run: it is part of the lab."""
    return True


class LabElasticsearch:
    """One stand-in below a folder of its own. All calls block; each ends within its time or raises."""

    def __init__(self, folder: Path, config: ElasticsearchConfig) -> None:
        self.folder = folder.absolute()
        self.config = config
        self._process: Process | None = None

    @property
    def state(self) -> Path:
        """The file that keeps what the cluster holds."""
        return self.folder / "es.json"

    @property
    def log(self) -> Path:
        """What the stand-in itself prints."""
        return self.folder / "elasticsearch.log"

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.config.address}"

    @property
    def argv(self) -> Sequence[str]:
        """How it is started after ``prepare``, in the foreground, wherever it runs."""
        run = "runpy.run_module('lab.es.server', run_name='__main__')"
        launch = f"import sys, runpy; sys.path.insert(0, {str(_ROOT)!r}); {run}"
        words = [sys.executable, "-c", launch, "--state", str(self.state), "--listen", self.config.address]
        words += ["--name", self.config.cluster_name]
        return (*words, "--accounts", str(self._accounts)) if self.config.accounts else words

    @property
    def _accounts(self) -> Path:
        return self.folder / "accounts.json"

    def prepare(self) -> None:
        """Make the folder and the accounts; what the cluster holds stays."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._accounts.touch(mode=0o600)
        self._accounts.write_text(json.dumps(dict(self.config.accounts)))

    def wipe(self) -> None:
        """Let it begin anew at its next start, as another cluster."""
        self.state.unlink(missing_ok=True)

    def is_ready(self) -> bool:
        """Whether it takes requests."""
        host, _, port = self.config.address.rpartition(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1.0):
            return True
        return False

    def control(self, what: str, **given: JsonValue) -> None:
        """Tell it: flood, dry, age (seconds), faults (color, no_master, busy …) or reset."""
        body = json.dumps(given).encode()
        host, _, port = self.config.address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=_TIMEOUT_S)
        try:
            connection.request("PUT", f"/_lab/{what}", body, {"Content-Type": "application/json"})
            status = connection.getresponse().status
        finally:
            connection.close()
        if status != http.HTTPStatus.OK:
            raise ElasticsearchError(f"{what} {given}: HTTP {status}")

    def start(self, seconds: float = 10.0) -> None:
        """Start it and wait until it answers. ElasticsearchError if it does not."""
        self.prepare()
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
        self._process = identify(child.pid)
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if time.monotonic() > deadline or child.poll() is not None:
                raise ElasticsearchError(f"the stand-in in {self.folder} is not ready:\n{self._tail()}")
            time.sleep(0.01)

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        if self._process is not None:
            send(self._process, signal.SIGKILL)
            self._wait_gone(self._process)

    def stop(self, grace_s: float = 2.0) -> None:
        """End it, if it runs."""
        if self._process is not None:
            end([self._process], grace_s=grace_s)
            self._wait_gone(self._process)

    def _wait_gone(self, process: Process) -> None:
        left = wait_gone([process], _TIMEOUT_S)
        _CHILDREN[:] = [child for child in _CHILDREN if child.poll() is None]
        if left:
            raise ElasticsearchError(f"the stand-in in {self.folder} does not end")

    def _tail(self, lines: int = 15) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else "(no log)"
        return "\n".join(text.splitlines()[-lines:])
