"""``python -m lab.postgres_hook ACTION DIR``: hooks of the lab's settings that act on its PostgreSQL.

PSA_ADDRESS and PSA_PORT say which member is meant: the primary for a backup, or whom to restart or rebuild.
``lab.data_hosts`` stops and starts them, too.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lab.data_systems import MEMBERS, REPLICA, postgres_of
from lab.layout import Lab
from lab.postgres import BINARIES, REPLICATOR
from lab.postgres_faults import end_server, rebuild, start
from lab.users import as_user, give_away

_USER: Final = "postgres"
#: How many backups are kept.
_KEPT: Final = 2
_TIMEOUT_S: Final = 60.0


def act(action: str, lab: Lab, environ: Mapping[str, str]) -> None:
    """Do what the hook is for; SystemExit with a line where it cannot be done."""
    part = _part_at(lab, f"{environ.get('PSA_ADDRESS', '')}:{environ.get('PSA_PORT', '')}")
    match action:
        case "backup":
            print(f"{_back_up(lab, part)}: whole, verified")
        case "restart":
            end_server(lab, part)
            start(lab, part)
            print(f"{part} is restarted")
        case "stop":
            end_server(lab, part)
            print(f"{part} is stopped")
        case "start":
            start(lab, part)
            print(f"{part} is started")
        case "rebuild" if part == REPLICA:
            rebuild(lab)
            print(f"{part} is a copy of the primary again")
        case _:
            raise SystemExit(f"{action} of {part}: that is not done here")


def _part_at(lab: Lab, address: str) -> str:
    known = {postgres_of(lab, part).config.address: part for part in MEMBERS.values()}
    if address not in known:
        raise SystemExit(f"no member of the lab is at {address}: there is {', '.join(known)}")
    return known[address]


def _back_up(lab: Lab, part: str) -> Path:
    """Make a base backup and verify it; the oldest ones go."""
    config = postgres_of(lab, part).config
    folder = lab.data / "backups"
    folder.mkdir(exist_ok=True)
    give_away(_USER, folder)
    target = folder / time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    host, _, port = config.address.rpartition(":")
    where = ["-h", host, "-p", port, "-U", REPLICATOR, "-D", str(target)]
    password = {"PGPASSWORD": config.replication_password}
    _run(["pg_basebackup", *where, "-X", "stream", "--checkpoint=fast"], password)
    _run(["pg_verifybackup", "-q", str(target)], {})
    for old in sorted(folder.iterdir())[:-_KEPT]:
        shutil.rmtree(old)
    return target


def _run(argv: list[str], more: Mapping[str, str]) -> None:
    done = subprocess.run(
        [*as_user(_USER), str(BINARIES / argv[0]), *argv[1:]],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **more},
    )
    if done.returncode != 0:
        raise SystemExit(f"{argv[0]}: {done.stderr.strip()}")


if __name__ == "__main__":
    act(sys.argv[1], Lab.open(Path(sys.argv[2])), os.environ)
