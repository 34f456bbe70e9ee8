"""What psactl doctor finds on this machine, without the daemon: packages, settings, clock, disk."""

import ctypes
import importlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from daemon.cli.screen import Tone

_ROOTS: Final = ("crds", "daemon", "metrics", "reconcilers")
_LEAST_MIB: Final = 256
"""The database stays below 50 MiB; a full disk stops the daemon from noting what it does."""
_TIMEX_BYTES: Final = 256
"""Room for the kernel's struct timex, 208 bytes on 64-bit Linux; zeros only ask."""
_NOT_SYNCHRONISED: Final = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked; *remedy* is what to do where it is not well, *detail* is shown as it is."""

    tone: Tone
    text: str
    remedy: str = ""
    detail: str = ""


def check_machine(home: Path, settings: Path, state: Path) -> Iterator[Check]:
    """Check what the daemon needs of the machine; *home* is where our own packages are."""
    yield check_roots(home)
    yield check_settings(settings)
    yield check_space(state)
    yield check_clock()


def check_roots(home: Path) -> Check:
    """Check that our generic package names are ours (ADR 0001)."""
    for root in _ROOTS:
        spec = importlib.util.find_spec(root)
        found = Path(spec.origin).parents[1] if spec is not None and spec.origin else None
        if found != home:
            where = f"comes from {found}, not from {home}" if found else "is missing"
            return Check(Tone.BAD, f"import root {root} {where}", f"remove the other package named {root}")
    return Check(Tone.GOOD, f"import roots {', '.join(_ROOTS)} are ours, in {home}")


def check_settings(file: Path) -> Check:
    """Check that the daemon could start with *file*; only its owner and root can see the tokens, too."""
    try:
        owner = file.stat().st_uid
    except FileNotFoundError:
        return Check(Tone.BUSY, f"there are no settings {file}", "--config FILE checks others")
    except OSError as exc:
        return Check(Tone.BUSY, f"settings {file}: {exc.strerror}", "root can check them: sudo psactl doctor")
    if os.geteuid() not in {0, owner}:
        return Check(Tone.BUSY, f"settings {file} are not yours to check", "root can: sudo psactl doctor")
    settings = importlib.import_module("daemon.settings")  # pydantic: only who asks the doctor pays for it
    try:
        found = settings.load_settings(file, {}, {})
    except settings.SettingsError as exc:
        return Check(
            Tone.BAD,
            f"settings {file} would be refused",
            "correct it, then systemctl restart psa-reconciler",
            str(exc),
        )
    endpoints, hooks = (", ".join(sorted(each)) or "none" for each in (found.endpoints, found.hooks))
    return Check(Tone.GOOD, f"settings {file} are in order; endpoints: {endpoints}; hooks: {hooks}")


def check_space(state: Path) -> Check:
    """Check that the state directory is there and has room."""
    try:
        found = os.statvfs(state)
    except OSError as exc:
        remedy = "systemctl start psa-reconciler makes it; elsewhere: --state DIR or PSA_STATE"
        return Check(Tone.BAD, f"state directory {state}: {exc.strerror}", remedy)
    free = found.f_bavail * found.f_frsize >> 20
    text = f"state directory {state}: {free} MiB free"
    if free < _LEAST_MIB:
        return Check(Tone.BAD, text, f"free at least {_LEAST_MIB} MiB: df -h {state}")
    if found.f_files and not found.f_favail:
        return Check(Tone.BAD, f"state directory {state}: no inode free", f"delete files: df -i {state}")
    return Check(Tone.GOOD, text)


def check_clock() -> Check:
    """Check that something keeps the clock right: events, suspensions and the journal carry its time."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except AttributeError:
        state = -1
    if state < 0:
        return Check(Tone.BUSY, "clock: the kernel does not say whether it is synchronised")
    if state == _NOT_SYNCHRONISED:
        remedy = "timedatectl set-ntp true; a container has its host's clock"
        return Check(Tone.BUSY, "clock: nothing synchronises it", remedy)
    return Check(Tone.GOOD, "clock: synchronised")
