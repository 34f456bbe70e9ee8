"""Who may write the watched directory: whoever can has the daemon's power."""

import errno
import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_MOST_LINKS: Final = 40


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is not trusted, and the command that puts it right."""

    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.message}; to put it right: {self.fix}"


@dataclass(frozen=True, slots=True)
class Ownership:
    """The users that may own the directory, its parents and files, and the groups that may write them."""

    owners: frozenset[int]
    groups: frozenset[int]

    @classmethod
    def of(cls, owners: Iterable[str], groups: Iterable[str]) -> Self:
        """Return root, this process's user and *owners*; raise ValueError for a name that nobody has."""
        return cls(
            frozenset({0, os.geteuid(), *map(_user, owners)}),
            frozenset(map(_group, groups)),
        )

    def refuse(self, path: Path, found: os.stat_result, *, parent: bool = False) -> Refusal | None:
        """Return what is wrong with owner or mode of *path*, None if nothing.

        A *parent* of the directory may be writable by others if it is sticky: then none can replace it.
        """
        messages, commands, quoted = [], [], shlex.quote(str(path))
        if found.st_uid not in self.owners:
            messages.append(f"belongs to {_user_name(found.st_uid)}, not to {self._owner_names()}")
            commands.append(f"chown root {quoted}")
        takers = "" if parent and found.st_mode & stat.S_ISVTX else self._takers(found)
        if takers:
            who = {"g": "its group", "o": "everybody", "go": "its group and everybody"}[takers]
            group = f" ({_group_name(found.st_gid)})" if "g" in takers else ""
            messages.append(f"can be written by {who}{group}")
            commands.append(f"chmod {takers}-w {quoted}")
        if not messages:
            return None
        return Refusal(f"{path} {' and '.join(messages)}", " && ".join(commands))

    def _takers(self, found: os.stat_result) -> str:
        """Return who can write that must not, in chmod's letters."""
        group = bool(found.st_mode & stat.S_IWGRP) and found.st_gid not in self.groups
        return ("g" if group else "") + ("o" if found.st_mode & stat.S_IWOTH else "")

    def _owner_names(self) -> str:
        *names, last = [_user_name(uid) for uid in sorted(self.owners)]
        return f"{', '.join(names)} or {last}" if names else last


def directories_above(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield every directory on the way to *path*, whichever links it goes through; raise OSError.

    Whoever can write one of them can put another directory in the place of *path*.
    """
    steps, here, links = list(path.absolute().parts[1:]), Path("/"), 0
    seen: set[Path] = set()
    while steps:
        if here not in seen:
            seen.add(here)
            yield here, here.stat()
        step = steps.pop(0)
        below = here.parent if step == ".." else here / step
        if not below.is_symlink():
            here = below
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, f"more than {_MOST_LINKS} links", str(path))
        target = here / below.readlink()
        steps, here = [*target.parts[1:], *steps], Path("/")


def _user(name: str) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise ValueError(f"source.owners: there is no user {name!r} on this machine") from None


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ValueError(f"source.groups: there is no group {name!r} on this machine") from None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"group {gid}"
