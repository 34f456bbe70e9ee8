"""Programs that the settings name: whoever can change one has the daemon's power."""

import os
import shlex
import stat
from pathlib import Path
from typing import Final

from daemon.sources.ownership import Ownership, directories_above

#: Root and the daemon's own user may own a program, and nobody else may write it.
_OURS: Final = ((), ())


def refuse_program(path: Path, found: os.stat_result | None = None) -> str | None:
    """Return why *path* must not be run, with the remedy; None if it may.

    It has to be a regular file, executable, and owned, like every directory on the way to it, by root or the
    daemon's user; nobody else may write them (a sticky directory may be). *found* is what an open descriptor
    says, where there is one.
    """
    try:
        status = path.stat() if found is None else found
        above = tuple(directories_above(path))
    except OSError as exc:
        return f"{path}: {exc.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return f"{path} is not a regular file"
    owners = Ownership.of(*_OURS)
    refusals = [owners.refuse(path, status), *(owners.refuse(*each, parent=True) for each in above)]
    wrong = [str(each) for each in refusals if each is not None]
    if not wrong and not os.access(path, os.X_OK):
        wrong.append(f"{path} is not executable; to put it right: chmod +x {shlex.quote(str(path))}")
    return "; ".join(wrong) or None
