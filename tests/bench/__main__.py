"""Measures the figures of DESIGN §14 on a lab of its own, each beside this machine's floor of the same run.

``make bench`` prints a table, in about three minutes; nothing here passes or fails. The figures mean
something only on a machine that does nothing else: the load is printed first.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lab.layout import Lab
from lab.start import Options, bring_up
from tests.bench import figures, machine
from tests.bench.table import Figure, head


def measured(lab: Lab) -> Iterator[Figure]:
    """Measure one figure after the other; what disturbs the others comes last."""
    machine.run(figures.PSACTL, "--socket", str(lab.socket("api")), "wait", "--all", "--timeout", "60s")
    yield from figures.commands(lab)
    yield figures.quiet(lab)
    yield figures.memory(lab)
    yield figures.file_to_mutation(lab)
    yield figures.wrong_color(lab)
    yield from figures.starts(lab)


def main() -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else every start would compile everything anew
    load = os.getloadavg()[0]
    busy = "" if load < 0.3 else ": others work here, so do not trust what follows"
    sys.stdout.write(f"load of the last minute {load:.2f}{busy}\n\n{head()}")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="psa-bench-") as folder:
        Path(folder).chmod(0o755)
        lab = bring_up(Options(Path(folder) / "lab", services=3), daemon=True, say=lambda _line: None)
        try:
            for figure in measured(lab):
                sys.stdout.write(figure.line())
                sys.stdout.flush()
        finally:
            lab.parts.end_all(grace_s=2)
    sys.stdout.write(f"\nmeasured in {time.perf_counter() - began:.0f} s\n")


if __name__ == "__main__":
    main()
