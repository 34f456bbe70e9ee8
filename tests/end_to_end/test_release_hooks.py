"""Hooks that misbehave: the attempt fails in its time, the old version is not touched, no process is left."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from crds.release import Phase, Trigger
from tests.real_releases import NEW, NEWER, OLD, Releases, releases

_Troubles = tuple[tuple[Mapping[str, str], str], ...]


def _processes(lab: Releases) -> Sequence[str]:
    """Return the command lines of the hooks' processes of this lab."""
    lines = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(lab.lab.hook_troubles) in words:
            lines.append(b" ".join(words).decode())
    return lines


#: What the hooks do, and the reason that is given. One that leaves a child behind ends well all the same.
_SOON_OVER: Final[_Troubles] = (
    ({"unit": "flood"}, "more than it may, and was ended"),
    ({"unit": "crash"}, "unit: ended by SIGSEGV"),
)
_HANGING: Final[_Troubles] = (
    ({"unit": "fork", "audit": "hang"}, "audit: not done after 1s, and ended"),
    ({"unit": "escape", "audit": "stubborn"}, "audit: not done after 1s, and ended with SIGKILL"),
)


def _shorter(text: str) -> str:
    assert "timeout: 20s" in text
    return text.replace("timeout: 20s", "timeout: 1s")


@pytest.mark.parametrize(
    "troubles", [_SOON_OVER, pytest.param(_HANGING, marks=pytest.mark.slow)], ids=["soon-over", "hanging"]
)
@pytest.mark.timeout(120)
def test_a_hook_that_misbehaves_fails_the_attempt_and_leaves_stable_and_no_process(
    short_path: Path, troubles: _Troubles
) -> None:
    with releases(short_path / "lab", configure=_shorter) as lab, lab.users(50) as users:
        before = lab.sight.last_request()
        for number, (hooks, why) in enumerate(troubles, 1):
            for name, trouble in hooks.items():
                (lab.lab.hook_troubles / name).write_text(trouble)
            lab.ask_for(NEW if number % 2 else NEWER, checks=["unit", "audit"])
            attempt = lab.wait_in(Phase.FAILED, number=number)
            assert (attempt.reason, attempt.trigger) == ("HookFailed", Trigger.CHECK)
            assert why in attempt.message
            assert _processes(lab) == []
            waited = lab.psactl("release", "wait", "psa-suite")
            assert (waited.returncode, why in waited.stderr) == (3, True), waited
        assert lab.sight.changes(before) == [], "nothing was changed outside"
        assert lab.shares() == (100, 0)
    assert (users.failed, {*users.by}) == (0, {OLD}), users
