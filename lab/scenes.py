"""The demo's scenes: something is done, and what comes of it is looked up where it is true."""

import re
from pathlib import Path
from typing import Final

from lab.control import call_now
from lab.platform import EXAMPLE, choose, read_example, texts
from lab.sight import SeenServer
from lab.stage import BACKEND, SPLIT, Stage, after, is_below, text
from lab.start import drop
from lab.wiring import frontend_address

_CRM: Final = Path("services/psa-crm.yaml")
_BILLING: Final = Path("services/psa-billing.yaml")
_BILLING_OBJECTS: Final = ("Service/psa-billing", "Container/psa-billing-blue")
_CRM_CT, _TICKETS_CT, _BILLING_CT = 101, 102, 103
_RIGHT: Final = {"blue": SeenServer(100, "ready"), "green": SeenServer(0, "maint")}
_RATE: Final = 25
#: Containers are looked at every 60 s by default; nobody wants to watch that.
_POLL: Final = "2s"


class Scenes:
    """One showing, in a lab whose daemon watches an empty directory."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._lab = stage.lab
        self._story = stage.story
        self._sight = stage.sight

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
        seconds = self._stage.needed("everything to be Ready", self._is_whole)
        story.say(f"everything is Ready after {seconds:.1f} s, in the order of dependsOn:")
        story.quote(self._stage.psactl("get", "Container", "Service").stdout)
        running = [each for each in self._sight.containers().values() if each.started_at is not None]
        story.claim(
            "files become containers and traffic",
            f"{len(running)} containers run after {seconds:.1f} s",
            holds=len(running) == 7,  # noqa: PLR2004 - three services and four data services
        )

    def open_the_doors(self) -> None:
        """Let users in, until the end."""
        self._stage.let_users_in(_RATE)
        self._story.say(f"from here on users send {_RATE} requests a second through HAProxy, {self._entry}")

    def memory(self) -> None:
        """Change a file, and with it a running container."""
        story, sight = self._story, self._sight
        story.title("A file changes psa-crm's memory")
        before = sight.containers()[_CRM_CT]
        self._stage.edit(_CRM, r"memory: 4Gi", "memory: 6Gi")
        seconds = self._stage.within(lambda: sight.containers()[_CRM_CT].config["memory"] == "6144")
        self._stage.within(lambda: "memory" in sight.events("Container/psa-crm-blue")[-1])
        story.say(f"saved; Proxmox has it {after(seconds)}. The plan's step said:")
        sentence = sight.events("Container/psa-crm-blue")[-1]
        story.quote(sentence)
        is_same_run = sight.containers()[_CRM_CT].started_at == before.started_at
        story.claim(
            "a file changes memory, without a restart",
            text(seconds),
            holds=seconds is not None and is_same_run and "no restart" in sentence,
        )

    def weight(self) -> None:
        """Edit a weight by hand."""
        story = self._story
        story.title("Somebody edits things by hand")
        self._sight.haproxy.ask(f"set weight {BACKEND}/blue 7")
        story.say("a colleague types `set weight api_backend/blue 7` into HAProxy's socket")
        seconds = self._stage.within(lambda: self._is_traffic_right() and self._did("blue weight 7 → 100"))
        story.say(f"blue has 100 again {after(seconds)}")
        story.claim("a hand-edited weight is put back", text(seconds), holds=is_below(seconds, 2))

    def reload(self) -> None:
        """Reload HAProxy, which forgets all weights."""
        story = self._story
        before = len(self._sight.events(SPLIT))
        pid = self._sight.haproxy.reload()
        shown = self._stage.shown()
        story.say(f"HAProxy is reloaded: the new worker, pid {pid}, has its file's weights: {shown}")
        seconds = self._stage.within(
            lambda: self._is_traffic_right() and self._did("green weight 100 → 0", before)
        )
        story.say(f"{after(seconds)} the weights are right: {self._stage.shown()}")
        story.claim("a HAProxy reload is put right", text(seconds), holds=is_below(seconds, 2))

    def stopped_container(self) -> None:
        """Stop a container on its node."""
        story, sight = self._story, self._sight
        before = sight.containers()[_TICKETS_CT].started_at
        call_now(self._lab.socket("pve"), "POST", f"/container/{_TICKETS_CT}/stop-by-hand")
        story.say(
            f"psa-tickets' container, CT {_TICKETS_CT}, is stopped on its node (it is looked at every"
            f" {_POLL}, by default every 60 s)"
        )
        seconds = self._stage.within(lambda: sight.containers()[_TICKETS_CT].started_at not in {None, before})
        story.say(f"it runs again {after(seconds)}")
        story.claim("a container stopped by hand runs again", text(seconds), holds=is_below(seconds, 10))

    def broken_file(self) -> None:
        """Save a file with a mistake."""
        story, sight = self._story, self._sight
        story.title("A broken file is refused, the last good one stays in force")
        before = sight.last_request()
        self._stage.edit(_CRM, r"memory: 6Gi", "memroy: 8Gi")
        seconds = self._stage.within(lambda: bool(sight.problems()))
        problem = next(iter(sight.problems()), "(nothing)")
        story.say(f"`memory` becomes `memroy: 8Gi`; {after(seconds)} the daemon says:")
        story.quote(problem)
        # The last good spec is not only not lost, it is still enforced.
        call_now(
            self._lab.socket("pve"),
            "POST",
            f"/container/{_CRM_CT}/edit-by-hand",
            {"key": "cores", "text": "1"},
        )
        put_back = self._stage.within(lambda: sight.containers()[_CRM_CT].config["cores"] == "2")
        memory = sight.containers()[_CRM_CT].config["memory"]
        changes = sight.changes(before)
        story.say(
            f"psa-crm keeps {memory} MiB, and what somebody now changes by hand (cores 2 → 1) is still put"
            f" back, {after(put_back)}"
        )
        self._stage.edit(_CRM, r"memroy: 8Gi", "memory: 6Gi")
        mended = self._stage.within(lambda: not sight.problems())
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
        self._stage.needed("Proxmox to begin", lambda: _BILLING_CT in sight.containers())
        killed = self._stage.kill_daemon()
        is_half_made = sight.containers()[_BILLING_CT].config.get("lock") == "create"
        story.say(f"psa-billing is dropped; while Proxmox makes CT {_BILLING_CT}, kill -9 hits pid {killed}")
        story.say(f"the daemon is started again, as systemd would: pid {self._stage.start_daemon()}")
        seconds = self._stage.within(
            lambda: not set(_BILLING_OBJECTS) - set(sight.objects()) and not sight.unready()
        )
        created, asked = sight.creations(before), len(sight.changes(before))
        story.say(
            f"psa-billing is Ready {after(seconds)}; Proxmox was asked for {created} container: the daemon"
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
        self._stage.within(lambda: not self._sight.unready())
        done = self._stage.psactl("diff")
        story.say(f"psactl diff (exit code {done.returncode}):")
        story.quote(done.stdout + done.stderr)
        story.claim("psactl diff: nothing to do", f"exit code {done.returncode}", holds=done.returncode == 0)

    def users(self) -> None:
        """Count what users saw."""
        tally = self._stage.see_users_off()
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
        return SPLIT in self._sight.objects() and not self._sight.unready()

    def _is_traffic_right(self) -> bool:
        return self._sight.servers(BACKEND) == _RIGHT

    def _did(self, what: str, since: int = 0) -> bool:
        """Whether the split's reconciler says that it did this, after its first *since* events."""
        return any(what in message for message in self._sight.events(SPLIT)[since:])

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
