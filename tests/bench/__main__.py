"""Measures the figures of DESIGN §14 on labs of its own, each beside this machine's floor of the same run.

``python -m tests.bench [GROUP…]`` prints a table; nothing here passes or fails. The figures mean something
only on a machine that does nothing else: its load is printed first and last.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import structlog

from lab.start import Options, bring_up
from tests.bench import (
    alerts,
    decision,
    elasticsearch,
    exposition,
    figures,
    lockstep,
    log,
    machine,
    postgres,
    rabbitmq,
    redis,
    rest,
    rollbacks,
    switches,
)
from tests.bench.table import Figure, floors, head

_IDLE: Final = 0.3


def _platform() -> Iterator[Figure]:
    """Measure the daemon on a small platform; what disturbs the others comes last."""
    with tempfile.TemporaryDirectory(prefix="psa-bench-") as folder:
        Path(folder).chmod(0o755)
        lab = bring_up(Options(Path(folder) / "lab", services=3), daemon=True, say=lambda _line: None)
        try:
            machine.run(figures.PSACTL, "--socket", str(lab.socket("api")), "wait", "--all")
            yield from figures.commands(lab)
            yield figures.quiet(lab)
            yield figures.memory(lab)
            yield figures.file_to_mutation(lab)
            yield figures.wrong_color(lab)
            yield from figures.starts(lab)
        finally:
            lab.parts.end_all(grace_s=2)


#: Groups of figures, each with a lab of its own, and the minutes that they take.
_GROUPS: Final[Mapping[str, tuple[Callable[[], Iterator[Figure]], float]]] = MappingProxyType({
    "platform": (_platform, 4),
    "decision": (decision.measure, 0.1),
    "exposition": (exposition.measure, 0.1),
    "switches": (switches.measure, 1),
    "acknowledged": (rollbacks.acknowledged, 2),
    "faults": (rollbacks.faults, 5),
    "lockstep": (lockstep.measure, 1),
    "rest": (rest.measure, 1.5),
    "log": (log.measure, 0.3),
    "alerts": (alerts.measure, 3),
    "postgres": (postgres.measure, 1),
    "redis": (redis.measure, 0.6),
    "rabbitmq": (rabbitmq.measure, 2),
    "elasticsearch": (elasticsearch.measure, 0.1),
})  # fmt: skip


def _load() -> str:
    load = os.getloadavg()[0]
    return f"load of the last minute {load:.2f}{'' if load < _IDLE else ': not idle'}"


def main() -> None:
    """Measure what the command line names, or everything."""
    said = ", ".join(f"{name} {minutes:g} min" for name, (_, minutes) in _GROUPS.items())
    parser = argparse.ArgumentParser(prog="python -m tests.bench", epilog=f"Groups: {said}.")
    parser.add_argument("group", nargs="*", help="what to measure; everything if it is left out")
    groups = parser.parse_args().group or [*_GROUPS]
    if unknown := [name for name in groups if name not in _GROUPS]:
        parser.error(f"no group {', '.join(unknown)}; there is {', '.join(_GROUPS)}")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else every start would compile everything anew
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    sys.stdout.write(f"{_load()}\n\n{head()}")
    began, found = time.perf_counter(), []
    for name in groups:
        for figure in _GROUPS[name][0]():
            found.append(figure)
            sys.stdout.write(figure.line())
            sys.stdout.flush()
    sys.stdout.write(f"\n{floors(found)}\n{_load()}; measured in {time.perf_counter() - began:.0f} s\n")


if __name__ == "__main__":
    main()
