"""Servers that must not be root: whose they are, and what becomes theirs."""

import os
import pwd
import shutil
from collections.abc import Sequence
from pathlib import Path


def gives_away(user: str) -> bool:
    """Whether a server runs as Debian's *user*: we are root, and there is one. Otherwise it is ourselves."""
    return os.geteuid() == 0 and user in {entry.pw_name for entry in pwd.getpwall()}


def as_user(user: str) -> Sequence[str]:
    """Return what stands before a program; setpriv becomes the program, so the pid is the program's."""
    if not gives_away(user):
        return ()
    return "/usr/bin/setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"


def give_away(user: str, *paths: Path) -> None:
    """Let files and folders be the *user*'s whose server is to write them."""
    if gives_away(user):
        for path in paths:
            shutil.chown(path, user, user)
