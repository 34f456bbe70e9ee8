"""A private Elasticsearch stand-in: its folder, accounts and life. No real server can be had for the lab."""

import contextlib
import http.client
import json
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from lab.life import Life

PACKAGES: Final = ""
_ROOT: Final = Path(__file__).parents[1]
_TIMEOUT_S: Final = 5.0


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
        self.life = Life("the stand-in", self.folder, self.log)

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
        """Start it and wait until it answers. LifeError if it does not."""
        self.prepare()
        self.life.begin(self.argv, self.is_ready, seconds)

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        self.life.kill()

    def stop(self, grace_s: float = 2.0) -> None:
        """End it, if it runs."""
        self.life.stop(grace_s=grace_s)
