import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crds.quantity import mebibytes_text
from lab.layout import Lab
from lab.processes import marked, send
from lab.sight import Sight, wait_until
from lab.slots import read_services
from lab.start import Options, bring_up, drop, start_daemon

_KILLS = 5
_PATIENCE_S = 200
#: What each round drops, and which line of which file it changes.
_ROUNDS = (
    ("psa-billing", "psa-crm", r"memory: \S+", "memory: 5Gi"),
    ("psa-projects", "psa-tickets", r"disk: \S+", "disk: 60Gi"),
    ("psa-assets", "psa-crm", r"cores: \S+", "cores: 3"),
    ("psa-auth", "psa-billing", r"memory: \S+", "memory: 6Gi"),
    ("psa-vcio", "psa-crm", r"memory: \S+", "memory: 7Gi"),
)


@pytest.fixture
def lab(short_path: Path) -> Iterator[Lab]:
    folder = short_path / "lab"
    lab = bring_up(Options(folder, services=3, time_scale=0.5), daemon=True, say=lambda _line: None)
    yield lab
    lab.parts.end_all(grace_s=1)
    sys.stdout.write(lab.parts.tail("daemon", lines=100))  # shown where the test fails
    assert marked(lab.record.mark) == frozenset()


def _change(lab: Lab, service: str, old: str, new: str) -> None:
    path = lab.desired / "services" / f"{service}.yaml"
    text, count = re.subn(old, new, path.read_text(), count=1)
    assert count == 1
    draft = path.with_name(f".{path.name}.swp")
    draft.write_text(text)
    draft.replace(path)


def _wanted(lab: Lab) -> dict[int, tuple[str, str, str]]:
    """Memory, cores and disk of each blue container, as the files say."""
    return {
        spec.colors.blue.ctid: (
            mebibytes_text(spec.container.memory or 0),
            str(spec.container.cores),
            f"{spec.container.disk}G",
        )
        for spec in read_services(lab.desired).values()
    }


def _found(sight: Sight) -> dict[int, tuple[str, str, str]]:
    seen = {}
    for ctid, container in sight.containers().items():
        # One that Proxmox is still making has no settings yet, and does not run.
        if ctid < 200 and container.started_at is not None:
            size = re.search(r"size=(\w+)", container.config["rootfs"])
            memory = mebibytes_text(int(container.config["memory"]))
            seen[ctid] = (memory, container.config["cores"], size[1] if size else "?")
    return seen


@pytest.mark.timeout(400)
def test_five_kills_at_random_moments_end_where_no_kill_would(lab: Lab) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    chance, sight = random.Random(seed), Sight(lab)  # noqa: S311 - moments, no secret
    story = [f"seed {seed}"]
    for dropped, changed, old, new in _ROUNDS[:_KILLS]:
        drop(lab, Path("services") / f"{dropped}.yaml")
        _change(lab, changed, old, new)
        moment = chance.uniform(0, 3)
        story.append(f"{dropped} after {moment:.2f} s")
        time.sleep(moment)
        assert send(lab.parts.running()["daemon"], signal.SIGKILL)
        start_daemon(lab)

    wanted = _wanted(lab)
    # A kill between the intent and the call leaves no trace: 60 s and two looks 30 s apart prove that.
    assert wait_until(lambda: _found(sight) == wanted and not sight.unready(), _PATIENCE_S) is not None, (
        story, wanted, _found(sight), sight.unready()
    )  # fmt: skip
    changes = [(seen.method, seen.path) for seen in sight.changes()]
    containers = sight.containers()
    made = [path for method, path in changes if method == "POST" and path.endswith("/lxc")]
    started = [path for method, path in changes if path.endswith("/status/start")]
    assert len(made) == len(containers) == len(started), (story, changes)
    assert not [path for method, path in changes if method == "DELETE"], (story, changes)
    assert sight.servers("api_backend")["blue"].weight == 100

    # And then it is quiet: no further request for a change, and nothing to do.
    program = Path(sys.executable).with_name("psactl")
    argv = [str(program), "--socket", str(lab.socket("api")), "diff"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (story, done.stdout)
    time.sleep(3)
    assert [(seen.method, seen.path) for seen in sight.changes()] == changes, story
