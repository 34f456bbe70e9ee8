"""Writes docs/reference/release-phases.md from the table that releases obey. `--check` only compares."""

import argparse
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

from crds.release import Phase
from reconcilers.release.phases import DEADLINES, EMPTY, ENDED, MOVES, WATCHED, Happening

TARGET: Final = Path(__file__).parents[1] / "docs/reference/release-phases.md"
#: What a phase does, in the words of an operator.
WORK: Final = {
    Phase.PENDING: "roles and version are fixed",
    Phase.PRE_CHECK: "capacity, templates, ids, balancer, live version, traffic; then the hooks of `checks`",
    Phase.BACKUP: EMPTY[Phase.BACKUP],
    Phase.MIGRATE: EMPTY[Phase.MIGRATE],
    Phase.DEPLOY_CANDIDATE: "the idle slots' containers are made, in the place of what was there",
    Phase.HEALTH_CHECK: "all candidates are healthy for `minHealthy` without a break",
    Phase.SMOKE: "the hooks of `smoke`, against each candidate's own address",
    Phase.SPLIT: "the candidate gets its share, step by step of `split`",
    Phase.WATCH: "the last step is watched for `watch`, up to `watchMax` while evidence is missing",
    Phase.PROMOTE: "the candidate gets all traffic; the old version answers what it holds, up to `drain`",
    Phase.VERIFY: "health and version, then the hooks of `verify`",
    Phase.SOAK: "the old version stays, warm, for `soak`",
    Phase.ROLLING_BACK: "stable gets all traffic, the candidate none",
    Phase.COMPLETED: "the version is live",
    Phase.FAILED: "stable was never touched",
    Phase.ROLLED_BACK: "the version is in quarantine",
}
#: Deadlines that stand in the file.
OWN: Final = {
    Phase.WATCH: "`watchMax`, then by what is known",
    Phase.SOAK: "`soak`",
    Phase.SMOKE: "the hooks' own",
    Phase.PROMOTE: "`drain` and 1 min",
}
HEAD: Final = """<!-- Written by `make docs` from reconcilers/release/phases.py. Changes here are lost. -->

# Phases of a release

An attempt is in one phase at a time, and moves as this table says; there are no other moves.
A *hold* stands beside the phase: nothing moves forward, while the rule, alerts and a rollback still act.
Why it is so: [how a release goes](../explanation/releases.md).

"""


def diagram() -> Iterator[str]:
    """Yield the moves as a Mermaid diagram, each pair of phases once."""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    [*] --> Pending"
    for phase in MOVES:
        for target, words in ways(phase):
            yield f"    {phase.value} --> {target.value}: {words}"
        if phase in ENDED:
            yield f"    {phase.value} --> [*]"
    yield "```"


def ways(phase: Phase) -> Iterator[tuple[Phase, str]]:
    """Yield where a phase leads, and what leads there."""
    found: dict[Phase, list[str]] = {}
    for happening, target in MOVES[phase].items():
        found.setdefault(target, []).append(happening.value)
    yield from ((target, ", ".join(words)) for target, words in found.items())


def rows() -> Iterator[str]:
    """Yield a table: what a phase does, how long it may take, and every way out of it."""
    yield "| phase | what happens | may take | ways out |"
    yield "|---|---|---|---|"
    for phase in MOVES:
        exits = "<br>".join(f"{words} → **{target.value}**" for target, words in ways(phase))
        watched = " *(the rule watches)*" if phase in WATCHED else ""
        yield f"| {phase.value} | {WORK[phase]}{watched} | {_deadline(phase)} | {exits or 'none'} |"


def _deadline(phase: Phase) -> str:
    if phase in OWN:
        return OWN[phase]
    deadline = DEADLINES.get(phase)
    return "" if deadline is None else f"{deadline / timedelta(minutes=1):g} min"


def page() -> str:
    """Return the whole page."""
    overdue = Happening.OVERDUE.value
    note = f"*{overdue}*: a phase took longer than it may, or nobody ended a hold in its time."
    return HEAD + "\n".join([*diagram(), "", *rows(), "", note, ""])


def main() -> None:
    """Write the page, or compare; exit 1 where it differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    checks = parser.parse_args().check
    text = page()
    if checks:
        if not TARGET.exists() or TARGET.read_text() != text:
            sys.exit(f"{TARGET} is not what the table says: make docs")
        return
    TARGET.write_text(text)
    print(TARGET.relative_to(TARGET.parents[2]))


if __name__ == "__main__":
    main()
