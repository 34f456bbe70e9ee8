"""The demo's scenes: something is done, and what comes of it is looked up where it is true."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field

from lab.control import call_now
from lab.layout import Lab
from lab.platform import EXAMPLE, choose, read_example, texts
from lab.processes import send
from lab.sight import SeenServer, Sight, wait_until
from lab.start import drop, start_daemon
from lab.story import Story
from lab.wiring import frontend_address

_CRM: Final = Path("services/psa-crm.yaml")
_BILLING: Final = Path("services/psa-billing.yaml")
_BILLING_OBJECTS: Final = ("Service/psa-billing", "Container/psa-billing-blue")
_CRM_CT, _TICKETS_CT, _BILLING_CT = 101, 102, 103
_BACKEND: Final = "api_backend"
_SPLIT: Final = "TrafficSplit/psa-api-gateway"
_RIGHT: Final = {"blue": SeenServer(100, "ready"), "green": SeenServer(0, "maint")}
_RATE: Final = 25
_PATIENCE_S: Final = 20.0
#: Containers are looked at every 60 s by default; nobody wants to watch that.
_POLL: Final = "2s"


class NotSeenError(Exception):
    """Something did not happen that the rest of the demo needs."""


class _Served(BaseModel):
    service: str
    color: str
    version: str


class _Tally(BaseModel):
    """What ``python -m lab load -o json`` prints, as far as it is told."""

    sent: int
    failed: int
    served_by: tuple[_Served, ...] = Field(alias="servedBy")


class Scenes:
    """One showing, in a lab whose daemon watches an empty directory."""

    def __init__(self, lab: Lab, story: Story) -> None:
        self._lab = lab
        self._story = story
        self._sight = Sight(lab)

    def play(self) -> None:
        """Show all scenes; NotSeenError where it makes no sense to go on."""
        self.platform()
        self.open_the_doors()
        self.memory()
        self.weight()
        self.reload()
        self.stopped_container()
        self.broken_file()
        self.killed_daemon()
        self.nothing_to_do()
        self.users()

    def platform(self) -> None:
        """Drop files until a platform stands."""
        story = self._story
        story.title("Files become containers and traffic")
        files = [*texts(EXAMPLE, choose(read_example(EXAMPLE), 3))]
        for path in files:
            self._look_often(path)
            drop(self._lab, path)
        story.say(
            f"{len(files)} files are dropped into the watched directory: three services, the data services"
            " that they depend on, and what HAProxy must have"
        )
        seconds = self._needed("everything to be Ready", self._is_whole)
        story.say(f"everything is Ready after {seconds:.1f} s, in the order of dependsOn:")
        story.quote(_psactl(self._lab, "get", "Container", "Service").stdout)
        running = [each for each in self._sight.containers().values() if each.started_at is not None]
        story.claim(
            "files become containers and traffic",
            f"{len(running)} containers run after {seconds:.1f} s",
            holds=len(running) == 7,  # noqa: PLR2004 - three services and four data services
        )

    def open_the_doors(self) -> None:
        """Let users in, until the end."""
        argv = [sys.executable, "-m", "lab", "load", "--dir", str(self._lab.root)]
        self._lab.parts.start("load", [*argv, "--rate", str(_RATE), "-o", "json"])
        self._story.say(f"from here on users send {_RATE} requests a second through HAProxy, {self._entry}")

    def memory(self) -> None:
        """Change a file, and with it a running container."""
        story, sight = self._story, self._sight
        story.title("A file changes psa-crm's memory")
        before = sight.containers()[_CRM_CT]
        self._edit(_CRM, r"memory: 4Gi", "memory: 6Gi")
        seconds = self._within(lambda: sight.containers()[_CRM_CT].config["memory"] == "6144")
        self._within(lambda: "memory" in sight.events("Container/psa-crm-blue")[-1])
        story.say(f"saved; Proxmox has it {_after(seconds)}. The plan's step said:")
        sentence = sight.events("Container/psa-crm-blue")[-1]
        story.quote(sentence)
        is_same_run = sight.containers()[_CRM_CT].started_at == before.started_at
        story.claim(
            "a file changes memory, without a restart",
            _text(seconds),
            holds=seconds is not None and is_same_run and "no restart" in sentence,
        )

    def weight(self) -> None:
        """Edit a weight by hand."""
        story = self._story
        story.title("Somebody edits things by hand")
        self._sight.haproxy.ask(f"set weight {_BACKEND}/blue 7")
        story.say("a colleague types `set weight api_backend/blue 7` into HAProxy's socket")
        seconds = self._within(lambda: self._is_traffic_right() and self._did("blue weight 7 → 100"))
        story.say(f"blue has 100 again {_after(seconds)}")
        story.claim("a hand-edited weight is put back", _text(seconds), holds=_is_below(seconds, 2))

    def reload(self) -> None:
        """Reload HAProxy, which forgets all weights."""
        story = self._story
        before = len(self._sight.events(_SPLIT))
        pid = self._sight.haproxy.reload()
        shown = self._shown()
        story.say(f"HAProxy is reloaded: the new worker, pid {pid}, has its file's weights: {shown}")
        seconds = self._within(lambda: self._is_traffic_right() and self._did("green weight 100 → 0", before))
        story.say(f"{_after(seconds)} the weights are right: {self._shown()}")
        story.claim("a HAProxy reload is put right", _text(seconds), holds=_is_below(seconds, 2))

    def stopped_container(self) -> None:
        """Stop a container on its node."""
        story, sight = self._story, self._sight
        before = sight.containers()[_TICKETS_CT].started_at
        call_now(self._lab.socket("pve"), "POST", f"/container/{_TICKETS_CT}/stop-by-hand")
        story.say(
            f"psa-tickets' container, CT {_TICKETS_CT}, is stopped on its node (it is looked at every"
            f" {_POLL}, by default every 60 s)"
        )
        seconds = self._within(lambda: sight.containers()[_TICKETS_CT].started_at not in {None, before})
        story.say(f"it runs again {_after(seconds)}")
        story.claim("a container stopped by hand runs again", _text(seconds), holds=_is_below(seconds, 10))

    def broken_file(self) -> None:
        """Save a file with a mistake."""
        story, sight = self._story, self._sight
        story.title("A broken file is refused, the last good one stays in force")
        before = sight.last_request()
        self._edit(_CRM, r"memory: 6Gi", "memroy: 8Gi")
        seconds = self._within(lambda: bool(sight.problems()))
        problem = next(iter(sight.problems()), "(nothing)")
        story.say(f"`memory` becomes `memroy: 8Gi`; {_after(seconds)} the daemon says:")
        story.quote(problem)
        # The last good spec is not only not lost, it is still enforced.
        call_now(
            self._lab.socket("pve"),
            "POST",
            f"/container/{_CRM_CT}/edit-by-hand",
            {"key": "cores", "text": "1"},
        )
        put_back = self._within(lambda: sight.containers()[_CRM_CT].config["cores"] == "2")
        memory = sight.containers()[_CRM_CT].config["memory"]
        changes = sight.changes(before)
        story.say(
            f"psa-crm keeps {memory} MiB, and what somebody now changes by hand (cores 2 → 1) is still put"
            f" back, {_after(put_back)}"
        )
        self._edit(_CRM, r"memroy: 8Gi", "memory: 6Gi")
        mended = self._within(lambda: not sight.problems())
        story.say("the file is mended; nothing is left to complain about")
        story.claim(
            "a broken file is refused with its place",
            problem.splitlines()[0].partition(": error")[0].removeprefix("services/"),
            holds="memroy" in problem and "^" in problem and mended is not None,
        )
        story.claim(
            "meanwhile the last good one is in force",
            f"{memory} MiB, cores put back",
            holds=memory == "6144" and put_back is not None and len(changes) == 1,
        )

    def killed_daemon(self) -> None:
        """Kill the daemon while Proxmox makes a container for it."""
        story, sight = self._story, self._sight
        story.title("The daemon is killed in the middle")
        before = sight.last_request()
        self._look_often(_BILLING)
        drop(self._lab, _BILLING)
        self._needed("Proxmox to begin", lambda: _BILLING_CT in sight.containers())
        daemon = self._lab.parts.running()["daemon"]
        send(daemon, signal.SIGKILL)
        is_half_made = sight.containers()[_BILLING_CT].config.get("lock") == "create"
        story.say(
            f"psa-billing is dropped; while Proxmox makes CT {_BILLING_CT}, kill -9 hits pid {daemon.pid}"
        )
        start_daemon(self._lab)
        story.say(
            f"the daemon is started again, as systemd would: pid {self._lab.parts.running()['daemon'].pid}"
        )
        seconds = self._within(
            lambda: not set(_BILLING_OBJECTS) - set(sight.objects()) and not sight.unready()
        )
        created, asked = sight.creations(before), len(sight.changes(before))
        story.say(
            f"psa-billing is Ready {_after(seconds)}; Proxmox was asked for {created} container: the daemon"
            " found its task again"
        )
        story.claim(
            "kill -9 of the daemon in the middle",
            f"{created} creation asked for, {asked} changes in all",
            holds=is_half_made and seconds is not None and created == 1 and asked == 2,  # noqa: PLR2004 - and a start
        )

    def nothing_to_do(self) -> None:
        """Ask what is left to do."""
        story = self._story
        story.title("At the end")
        self._within(lambda: not self._sight.unready())
        done = _psactl(self._lab, "diff")
        story.say(f"psactl diff (exit code {done.returncode}):")
        story.quote(done.stdout + done.stderr)
        story.claim("psactl diff: nothing to do", f"exit code {done.returncode}", holds=done.returncode == 0)

    def users(self) -> None:
        """Count what users saw."""
        self._lab.parts.end("load")
        tally = _Tally.model_validate_json((self._lab.log / "load.log").read_text())
        servers = {f"{row.service} {row.color} {row.version}" for row in tally.served_by}
        self._story.say(f"users sent {tally.sent} requests; who answered: {', '.join(servers) or 'nobody'}")
        self._story.claim(
            "requests through HAProxy all the while",
            f"{tally.failed} of {tally.sent} failed",
            holds=tally.sent > _RATE and tally.failed == 0 and len(servers) == 1,
        )

    @property
    def _entry(self) -> str:
        return f"http://{frontend_address(self._lab)}/"

    def _is_whole(self) -> bool:
        return _SPLIT in self._sight.objects() and not self._sight.unready()

    def _is_traffic_right(self) -> bool:
        return self._sight.servers(_BACKEND) == _RIGHT

    def _did(self, what: str, since: int = 0) -> bool:
        """Whether the split's reconciler says that it did this, after its first *since* events."""
        return any(what in message for message in self._sight.events(_SPLIT)[since:])

    def _shown(self) -> str:
        servers: Mapping[str, SeenServer] = self._sight.servers(_BACKEND)
        return ", ".join(f"{name} {seen.weight} {seen.state}" for name, seen in servers.items())

    def _within(self, true: Callable[[], bool]) -> float | None:
        return wait_until(true, _PATIENCE_S)

    def _needed(self, what: str, true: Callable[[], bool]) -> float:
        seconds = self._within(true)
        if seconds is None:
            raise NotSeenError(f"waited {_PATIENCE_S:g} s for {what}, in vain")
        return seconds

    def _edit(self, path: Path, old: str, new: str) -> None:
        """Save a file as an editor does: written beside, renamed into place."""
        target = self._lab.desired / path
        text, count = re.subn(old, new, target.read_text())
        if count != 1:
            raise NotSeenError(f"{old} stands {count} times in {target}")
        draft = target.with_name(f".{target.name}.swp")
        draft.write_text(text)
        draft.replace(target)

    def _look_often(self, path: Path) -> None:
        source = self._lab.example / path
        source.write_text(
            re.sub(
                r"(?m)^spec:\n",
                f"spec:\n  pollInterval: {_POLL}  # the demo's: 60 s by default\n",
                source.read_text(),
                count=1,
            )
        )


def _psactl(lab: Lab, *arguments: str) -> "subprocess.CompletedProcess[str]":
    program = Path(sys.executable).with_name("psactl")
    argv = [str(program), "--socket", str(lab.socket("api")), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)


def _text(seconds: float | None) -> str:
    return f"{seconds:.1f} s" if seconds is not None else f"not within {_PATIENCE_S:g} s"


def _after(seconds: float | None) -> str:
    return f"after {seconds:.1f} s" if seconds is not None else f"(NOT within {_PATIENCE_S:g} s)"


def _is_below(seconds: float | None, limit: float) -> bool:
    return seconds is not None and seconds <= limit
