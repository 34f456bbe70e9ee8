"""Random trouble on a whole lab, round after round: after each, all must be as its files ask, by itself.

``python -m tests.chaos [--rounds N] [--seed N]``; the same seed makes the same rounds.
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

from lab.start import Options, bring_up
from tests.chaos.rounds import WHOLE_WITHIN_S, heal, play, troubles


def main() -> int:
    """Play, and return 1 at the first round that is not over in time; its lab is left for a look."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="psa-chaos-"))
    root.chmod(0o755)  # the servers' own users come through it
    lab = bring_up(Options(root / "lab", data=True), daemon=True, say=_say)
    _say(f"from nothing: {heal(lab)[0]:.1f} s; seed {asked.seed}")
    longest = 0.0
    for number, trouble in enumerate(itertools.islice(troubles(asked.seed), asked.rounds), 1):
        _say(f"{number:3}  {trouble}")
        vain = play(lab, trouble)
        took, wrong = heal(lab)
        longest = max(longest, took)
        _say(f"     as asked {took:.1f} s after its end{'; in vain: ' if vain else ''}{', '.join(vain)}")
        if wrong:
            _say(f"not as asked after {WHOLE_WITHIN_S:g} s:\n{wrong}\nthe lab is left: {lab.root}")
            return 1
    lab.parts.end_all(grace_s=2)
    _say(f"{asked.rounds} rounds, each as asked at most {longest:.1f} s after its end")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
