"""``psactl demo``: a lab, a daemon and the scenes; exit code 0 only if every claim was seen."""

import contextlib
import shlex
import sys
import tempfile
from pathlib import Path

from lab.by_hand import OLD_REDIS, create_by_hand
from lab.control import ControlError
from lab.data_scenes import DataScenes
from lab.data_systems import data_urls
from lab.haproxy import HaproxyError
from lab.layout import Lab, LabError
from lab.monitoring import DASHBOARDS, is_wanted, monitoring_urls
from lab.numbers import NoNumberError
from lab.parts import PartError
from lab.release_scenes import ReleaseScenes
from lab.scenes import Scenes
from lab.stage import NotSeenError, Stage
from lab.start import Options, bring_up, take_down
from lab.story import Story
from lab.wiring import alerts_url, daemon_address, frontend_address

_ERRORS = (NotSeenError, LabError, PartError, NoNumberError, ControlError, HaproxyError, OSError)


def run_demo(root: Path | None, *, keep: bool, data: bool = False) -> int:
    """Show everything; return 0 if every claim was seen, 1 if not. *keep* leaves the lab up.

    *data* has the data services in it, and scenes with them at the end.
    """
    story = Story()
    folder = root if root is not None else Path(tempfile.mkdtemp(prefix="psa-demo-", dir="/tmp"))
    folder = folder.absolute()
    story.note("psa-reconciler: files say how a platform shall be, and it becomes and stays so.")
    story.note("Real HAProxy, a Proxmox VE simulator, tiny applications, all on loopback.")
    is_good = False
    try:
        is_good = _show(folder, story, data=data)
    except _ERRORS as exc:
        story.say(f"the demo cannot go on: {exc}")
    except KeyboardInterrupt:
        story.say("interrupted")
    finally:
        if (folder / "lab.json").exists():
            lab = Lab.open(folder)
            if keep and lab.parts.running():
                with contextlib.suppress(OSError):  # without Proxmox there is nothing to adopt
                    create_by_hand(lab, *OLD_REDIS)
                _print_hints(lab, story)
            else:
                _end(folder, story, remove=is_good and root is None)
        elif root is None:
            folder.rmdir()
    return 0 if is_good else 1


def _show(folder: Path, story: Story, *, data: bool) -> bool:
    story.title("A platform on this machine")
    _end_former(folder, story)
    # With an empty directory first: it is the files that make the platform.
    options = Options(folder, services=0, metrics=is_wanted(None, story.say), data=data)
    lab = bring_up(options, daemon=True, say=story.say)
    stage = Stage(lab, story)
    scenes = Scenes(stage)
    scenes.play()
    ReleaseScenes(stage).play()
    if data:
        DataScenes(stage).play()
    scenes.nothing_to_do()
    is_good = story.table()
    story.note()
    story.note(f"{'Everything' if is_good else 'NOT everything'} was seen, in {story.seconds:.0f} s.")
    return is_good


def _end_former(folder: Path, story: Story) -> None:
    if (folder / "lab.json").exists():
        _, ended = take_down(folder)
        if ended:
            story.say(f"the lab that still ran here is ended ({ended} processes); its files are made anew")


def _end(folder: Path, story: Story, *, remove: bool) -> None:
    lab, _ = take_down(folder)
    if remove:
        lab.remove_contents()
        folder.rmdir()
    else:
        story.note(f"Logs: {lab.log}")


def _print_hints(lab: Lab, story: Story) -> None:
    program = Path(sys.executable)
    crm = lab.desired / "services" / "psa-crm.yaml"
    where = shlex.quote(str(lab.root))
    story.title("It is left running. Go on by hand")
    for line in (
        "The watched directory:",
        f"  {lab.desired}",
        "What the daemon says:",
        f"  export PATH={program.parent}:$PATH PSA_SOCKET={lab.socket('api')}",
        "  psactl get; psactl status; psactl events",
        "Change a container:",
        f"  sed -i 's/memory: 6Gi/memory: 8Gi/' {crm}",
        "  psactl events Container/psa-crm-blue",
        "Try a bad file:",
        f"  echo 'kind: Contianer' >{lab.desired}/bad.yaml; psactl status",
        f"  rm {lab.desired}/bad.yaml",
        *_release_hints(lab, where),
        f"Adopt a container that a colleague made, CT {OLD_REDIS[0]}:",
        "  docs/how-to/adopt-a-container.md",
        "More files of the platform, to copy into the watched directory:",
        f"  {lab.example}",
        "Break something:",
        f"  psactl lab fault --dir {where} haproxy reload",
        f"  psactl lab fault --dir {where} container 102",
        "Look at it in a browser:",
        f"  http://{frontend_address(lab)}/  users' entry",
        f"  http://{lab.address('40.10')}:8404/  HAProxy",
        f"  http://{daemon_address(lab)}/metrics  the daemon",
        *(f"  {url}  {name}" for name, url in monitoring_urls(lab).items()),
        *_data_hints(lab, where),
        "Dashboards for Grafana, and how to load them:",
        f"  {DASHBOARDS}",
        "  docs/how-to/see-it-on-a-dashboard.md",
        "Pids, sockets, logs:",
        f"  psactl lab status --dir {where}",
        "End it:",
        f"  psactl lab down --dir {where}",
    ):
        story.note(line if not line.startswith("  ") else f"  {line}")


def _data_hints(lab: Lab, where: str) -> tuple[str, ...]:
    if not lab.record.data:
        return ()
    return (
        "Data services, whose passwords are files:",
        *(f"  {url}  {name}" for name, url in data_urls(lab).items()),
        f"  {lab.secrets}",
        "Break one of them, and look what becomes of it:",
        f"  psactl lab fault --dir {where} postgres slot-dropped",
        "  psactl events PostgresCluster/psa-db",
        f"  psactl lab fault --dir {where} postgres --help",
    )


def _release_hints(lab: Lab, where: str) -> tuple[str, ...]:
    return (
        "Release a version, and one that fails 5 % of its requests:",
        f"  psactl lab load --dir {where} --rate 100 --seconds 120 >/dev/null &",
        f"  sed -i 's/version: .*/version: 1.5.0/' {lab.desired}/release.yaml",
        "  psactl release status -w",
        f"  psactl lab fault --dir {where} app psa-api-gateway --version 2.0.0 --error-rate 0.05",
        f"  sed -i 's/version: .*/version: 2.0.0/' {lab.desired}/release.yaml",
        "While it is watched: take it back as Alertmanager would:",
        f'  curl -sS -H "Authorization: Bearer $(cat {shlex.quote(str(lab.alert_token))})" \\',
        f"  {alerts_url(lab)} \\",
        """  --json '{"version": "4", "alerts": [{"status": "firing",""",
        """  "startsAt": "'$(date -u +%FT%TZ)'",""",
        """  "labels": {"alertname": "ByHand", "psa_action": "rollback"}}]}'""",
    )
