"""One pass over a running attempt: what is known, and what was decided so far. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from crds.release import (
    Attempt,
    Check,
    Hold,
    HoldExit,
    Phase,
    ReleaseMemo,
    ReleaseSpec,
    ReleaseStatus,
    Trigger,
)
from reconcilers.contract import Note, Resource, Step, Write
from reconcilers.release.model import ReleaseAction, SeenRelease
from reconcilers.release.phases import ENDED, PROMOTED, Happening, after
from reconcilers.release.rule import GAP_S

SOON: Final = timedelta(milliseconds=100)
"""How soon to look again while something of our own is awaited."""
TICK: Final = timedelta(seconds=1)
RULE: Final = "the rule"
"""Who holds where the evidence says so."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A pass as it goes on; each decision returns another one. ``says`` is what is awaited."""

    release: Resource[ReleaseSpec]
    seen: SeenRelease
    now: datetime
    status: ReleaseStatus
    attempt: Attempt
    memo: ReleaseMemo
    writes: tuple[Write, ...] = ()
    steps: tuple[Step[ReleaseAction], ...] = ()
    says: str = ""
    again: timedelta = TICK
    is_settled: bool = False
    """Whether this pass has made its one move."""

    @property
    def spec(self) -> ReleaseSpec:
        """What the file asks for."""
        return self.release.spec

    @property
    def elapsed_s(self) -> float | None:
        """Seconds since the last tick of this very process, None for its first."""
        same = self.memo.process == self.seen.process
        return self.seen.monotonic - self.memo.ticked_s if same else None

    @property
    def lasted_s(self) -> float:
        """Seconds since the last tick; 0 if that is not known, or too long for the daemon to have watched."""
        elapsed_s = self.elapsed_s
        return elapsed_s if elapsed_s is not None and 0 < elapsed_s < GAP_S else 0.0

    @property
    def in_phase(self) -> timedelta:
        """How long the attempt is in its phase, without the time that does not count."""
        return self.now - self.attempt.entered_at - timedelta(seconds=self.memo.held_s)

    def timed(self) -> "Turn":
        """Let only the time count that passed on the steady clock while the daemon watched."""
        memo = self.memo
        if memo.ticked_at is None:
            return self
        skipped_s = (self.now - memo.ticked_at).total_seconds() - self.lasted_s
        since = memo.healthy_since if self.lasted_s else None
        if since is not None:
            since += timedelta(seconds=skipped_s)
        return self.remembers(held_s=memo.held_s + skipped_s, healthy_since=since)

    def ticked(self) -> "Turn":
        """Write down when this look was: the next one counts from here."""
        return self.remembers(process=self.seen.process, ticked_s=self.seen.monotonic, ticked_at=self.now)

    def without_time(self) -> "Turn":
        """Let the time since the last look not count against the phase's deadline."""
        return self.remembers(held_s=self.memo.held_s + self.lasted_s)

    def noted(self, reason: str, message: str, *, warning: bool = False) -> "Turn":
        """Add an event."""
        return replace(self, writes=(*self.writes, Note(reason, message, warning)))

    def written(self, *writes: Write) -> "Turn":
        """Add writes."""
        return replace(self, writes=(*self.writes, *writes))

    def stepped(self, *steps: Step[ReleaseAction]) -> "Turn":
        """Add steps."""
        return replace(self, steps=(*self.steps, *steps))

    def waits(self, says: str, again: timedelta = TICK) -> "Turn":
        """Say what is awaited, and when to look again."""
        return replace(self, says=says, again=again)

    def remembers(self, **fields: object) -> "Turn":
        """Change fields of the memo."""
        return replace(self, memo=self.memo.model_copy(update=fields))

    def changed(self, **fields: object) -> "Turn":
        """Change fields of the attempt."""
        return replace(self, attempt=self.attempt.model_copy(update=fields))

    def sees(self, visible: str) -> "Turn":
        """Say what the watch can see."""
        return replace(self, status=self.status.model_copy(update={"visible": visible}))

    def checked(self, check: Check) -> "Turn":
        """Add the result of a check or hook, in place of an older one of the same name."""
        others = tuple(each for each in self.attempt.checks if each.name != check.name)
        return self.changed(checks=(*others, check))

    def moved(
        self,
        happening: Happening,
        *,
        reason: str | None = None,
        message: str = "",
        trigger: Trigger | None = None,
    ) -> "Turn":
        """Make the one move of this pass; *reason* with its *message* is why it ends badly."""
        before, phase = self.attempt.phase, after(self.attempt.phase, happening)
        fields: dict[str, object] = {"phase": phase, "entered_at": self.now, "hold": None}
        if reason is not None:
            fields |= {"reason": reason, "message": message, "trigger": trigger}
        if phase is Phase.ROLLING_BACK:
            fields["decided_at"] = self.now
        if happening is Happening.NEXT_STEP:
            fields["step"] = self.attempt.step + 1
        if phase in {Phase.SPLIT, Phase.PROMOTE}:
            fields |= {"step_at": self.now, "split_at": self.attempt.split_at or self.now}
        if phase is Phase.PROMOTE:
            fields["promoted_at"] = self.now
        if phase in ENDED:
            fields["ended_at"] = self.now
        turn = self.changed(**fields).remembers(held_s=0.0, healthy_since=None, read_back_at=None)
        text = f"attempt {self.attempt.number}, {self.attempt.version}: {before.value} → {phase.value}"
        is_bad = reason is not None
        turn = turn.noted(reason or phase.value, f"{text}: {message}" if message else text, warning=is_bad)
        return replace(turn, is_settled=True, again=SOON)

    def held(
        self,
        reason: str,
        message: str,
        *,
        by: str,
        until: datetime,
        then: HoldExit,
        since: datetime | None = None,
    ) -> "Turn":
        """Keep the attempt where it is; the same hold again is no news.

        Another reason of the same holder's gives nobody more time than the first one did.
        """
        old = self.attempt.hold
        if old is not None and old.reason == reason and old.by == by:
            if old.message == message:
                return self.waits(message)
            return self.changed(hold=old.model_copy(update={"message": message})).waits(message)
        if old is not None and old.by == by and old.exit is then:
            since, until = old.since, min(old.until, until)
        hold = Hold(reason=reason, message=message, since=since or self.now, by=by, until=until, exit=then)
        return self.changed(hold=hold).noted(reason, message, warning=True).waits(message)

    def released(self, why: str) -> "Turn":
        """End a hold."""
        if self.attempt.hold is None:
            return self
        reason = self.attempt.hold.reason
        return self.changed(hold=None).noted("HoldEnded", f"{reason}: {why}")

    def hold_until(self) -> datetime:
        """Return when bad evidence that nobody looks at ends in a rollback."""
        return self.now + self.spec.hold_for

    @property
    def exit_of_bad_evidence(self) -> HoldExit:
        """What a hold over bad evidence leads to: after the promotion it stays, and pages again."""
        promoted = self.attempt.phase in PROMOTED or not self.attempt.has_stable
        return HoldExit.STAY if promoted else HoldExit.ROLL_BACK
