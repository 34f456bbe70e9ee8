"""Where the demo plays: a lab, its story, and what each scene does and looks up again and again."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field

from lab.layout import Lab
from lab.processes import send
from lab.sight import SeenServer, Sight, wait_until
from lab.start import start_daemon
from lab.story import Story

BACKEND: Final = "api_backend"
SPLIT: Final = "TrafficSplit/psa-api-gateway"
PATIENCE_S: Final = 20.0


class NotSeenError(Exception):
    """Something did not happen that the rest of the demo needs."""


class Served(BaseModel):
    """Requests that one version answered, well or badly."""

    service: str
    color: str
    version: str
    count: int = 0


class Bad(BaseModel):
    """A request that failed; ``after_s`` is since the load began."""

    after_s: float = Field(alias="afterS")


class Tally(BaseModel):
    """What ``python -m lab load -o json`` prints, as far as it is told."""

    sent: int
    failed: int
    served_by: tuple[Served, ...] = Field(alias="servedBy")
    failed_by: tuple[Served, ...] = Field(alias="failedBy")
    first_bad: Bad | None = Field(alias="firstBad", default=None)
    last_bad: Bad | None = Field(alias="lastBad", default=None)


class Stage:
    """One showing, in a lab whose daemon watches a directory. ``patience_s``: how long anything may take."""

    def __init__(self, lab: Lab, story: Story) -> None:
        self.lab = lab
        self.story = story
        self.sight = Sight(lab)
        self.patience_s = PATIENCE_S

    def within(self, true: Callable[[], bool], seconds: float | None = None) -> float | None:
        """Wait until it is true; return after how many seconds, None if it took too long."""
        return wait_until(true, self.patience_s if seconds is None else seconds)

    def needed(self, what: str, true: Callable[[], bool], seconds: float | None = None) -> float:
        """Wait until it is true; NotSeenError if it takes too long."""
        patience = self.patience_s if seconds is None else seconds
        found = wait_until(true, patience)
        if found is None:
            raise NotSeenError(f"waited {patience:g} s for {what}, in vain")
        return found

    def edit(self, path: Path, old: str, new: str) -> None:
        """Save a file as an editor does: written beside, renamed into place."""
        target = self.lab.desired / path
        text, count = re.subn(old, new, target.read_text())
        if count != 1:
            raise NotSeenError(f"{old} stands {count} times in {target}")
        draft = target.with_name(f".{target.name}.swp")
        draft.write_text(text)
        draft.replace(target)

    def psactl(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run psactl as a person would."""
        program = Path(sys.executable).with_name("psactl")
        argv = [str(program), "--socket", str(self.lab.socket("api")), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PATIENCE_S)

    def let_users_in(self, rate: int) -> None:
        """Send so many requests a second, until ``see_users_off``."""
        self._tally.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "lab", "load", "--dir", str(self.lab.root)]
        self.lab.parts.start("load", [*argv, "--rate", str(rate), "-o", "json"])

    def see_users_off(self) -> Tally:
        """End the load and return what users saw."""
        self.lab.parts.end("load")
        return Tally.model_validate_json(self._tally.read_text())

    @property
    def _tally(self) -> Path:
        return self.lab.log / "load.log"

    def kill_daemon(self) -> int:
        """End the daemon with kill -9; return its pid."""
        daemon = self.lab.parts.running()["daemon"]
        send(daemon, signal.SIGKILL)
        return daemon.pid

    def start_daemon(self) -> int:
        """Start the daemon again, as systemd would; return its pid."""
        start_daemon(self.lab)
        return self.lab.parts.running()["daemon"].pid

    def servers(self) -> Mapping[str, SeenServer]:
        """Return the entry's servers as HAProxy has them."""
        return self.sight.servers(BACKEND)

    def shown(self) -> str:
        """Say what the entry's servers are."""
        return ", ".join(f"{name} {seen.weight} {seen.state}" for name, seen in self.servers().items())


def text(seconds: float | None) -> str:
    """Say a duration."""
    return f"{seconds:.1f} s" if seconds is not None else "not within its time"


def after(seconds: float | None) -> str:
    """Say after how long something came."""
    return f"after {seconds:.1f} s" if seconds is not None else "(NOT within its time)"


def is_below(seconds: float | None, limit: float) -> bool:
    """Whether it came, and in time."""
    return seconds is not None and seconds <= limit
