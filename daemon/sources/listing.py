"""Which files the watched directory has, also behind links that stay inside it. Reads no content."""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from daemon.sources.nodes import LARGEST_FILE
from daemon.sources.ownership import Ownership, directories_above

SUFFIXES: Final = (".yaml", ".yml")
#: Levels of folders; deeper ones are a mistake, such as a file system bound into itself.
_DEEPEST: Final = 16
#: st_dev, st_ino, st_size, st_mtime_ns, st_ctime_ns, st_mode, st_uid, st_gid
Signature = tuple[int, int, int, int, int, int, int, int]
#: st_dev, st_ino of a directory
Identity = tuple[int, int]


class UnreadableError(Exception):
    """Nothing can be concluded from the directory; the text is a sentence."""


class MovedError(Exception):
    """Something went away while it was looked at; the text is its path."""


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that is not taken, why, and what to do about it."""

    path: str
    message: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as the listing found it; ``real`` is where it is, behind all links."""

    real: Path
    signature: Signature


@dataclass(frozen=True, slots=True)
class Listing:
    """All files by their path below the root."""

    identity: Identity
    files: dict[str, Listed] = field(default_factory=dict)
    refused: dict[str, RefusedFile] = field(default_factory=dict)


def list_directory(root: Path, ownership: Ownership | None) -> Listing:
    """Return the files of *root*; raise UnreadableError or MovedError.

    With *ownership*, a file that others can write is refused, and such a directory makes all unreadable.
    """
    listing = Listing(_check_root(root, ownership))
    _Walk(root, ownership, listing).run()
    if not listing.files and not listing.refused:
        raise UnreadableError(f"{root} holds no *.yaml or *.yml file: an empty directory says nothing")
    return listing


def _check_root(root: Path, ownership: Ownership | None) -> Identity:
    try:
        if ownership is not None:
            for path, above in directories_above(root):
                _trust(ownership, path, above, parent=True)
        found = root.stat()
    except FileNotFoundError:
        raise UnreadableError(f"{root} does not exist") from None
    except OSError as exc:
        raise UnreadableError(f"{root} cannot be read: {exc.strerror}") from exc
    if not stat.S_ISDIR(found.st_mode):
        raise UnreadableError(f"{root} is not a directory")
    if ownership is not None:
        _trust(ownership, root, found)
    return found.st_dev, found.st_ino


class _Walk:
    """One listing of the directory and all below it."""

    def __init__(self, root: Path, ownership: Ownership | None, listing: Listing) -> None:
        self._root = root
        self._real_root = root.resolve()
        self._ownership = ownership
        self._listing = listing
        self._links: list[tuple[str, Path]] = []
        self._seen: set[Path] = set()

    def run(self) -> None:
        """Fill the listing: first what lies there itself, then what links inside the directory add to it."""
        self._directory(self._real_root, "")
        while self._links:
            links, self._links = sorted(self._links), []
            for path, link in links:
                self._link(path, link)

    def _directory(self, directory: Path, path: str) -> None:
        if directory in self._seen:
            return
        self._seen.add(directory)
        if path.count("/") >= _DEEPEST:
            raise UnreadableError(f"{directory} lies more than {_DEEPEST} levels below {self._root}")
        with _reading(directory), os.scandir(directory) as entries:
            kept = sorted((e for e in entries if not is_dropping(e.name)), key=lambda entry: entry.name)
        for entry in kept:
            self._entry(entry, f"{path}/{entry.name}" if path else entry.name)

    def _entry(self, entry: os.DirEntry[str], path: str) -> None:
        real = Path(entry.path)
        if entry.is_symlink():
            self._links.append((path, real))
        elif entry.is_dir(follow_symlinks=False):
            self._trust_directory(real)
            self._directory(real, path)
        elif path.endswith(SUFFIXES) and entry.is_file(follow_symlinks=False):
            with _reading(real):
                found = entry.stat(follow_symlinks=False)
            self._file(path, real, found)

    def _link(self, path: str, link: Path) -> None:
        try:
            real = link.resolve(strict=True)
            found = real.stat()
        except (OSError, RuntimeError):  # a loop of links is a RuntimeError before Python 3.13
            if path.endswith(SUFFIXES):
                self._refuse(path, f"the link points to nothing that can be read: {_target(link)}")
            return
        inside = real.is_relative_to(self._real_root)
        if stat.S_ISDIR(found.st_mode):
            if not inside:
                raise UnreadableError(f"{link} leads to {real}: only links inside {self._root} are followed")
            self._trust_way(real)
            self._directory(real, path)
        elif path.endswith(SUFFIXES) and stat.S_ISREG(found.st_mode):
            if not inside:
                self._refuse(
                    path, f"the link leads to {real}", f"only links inside {self._root} are followed"
                )
                return
            self._trust_way(real.parent)
            self._file(path, real, found)

    def _trust_way(self, directory: Path) -> None:
        """Check the directories between the root and a link's target, which may be hidden ones."""
        while directory != self._real_root:
            self._trust_directory(directory)
            directory = directory.parent

    def _trust_directory(self, directory: Path) -> None:
        if self._ownership is not None:
            with _reading(directory):
                found = directory.lstat()
            _trust(self._ownership, directory, found)

    def _refuse(self, path: str, message: str, *notes: str) -> None:
        self._listing.refused[path] = RefusedFile(shown(path), message, notes)

    def _file(self, path: str, real: Path, found: os.stat_result) -> None:
        if real in self._seen:
            return
        self._seen.add(real)
        if not path.isprintable():
            self._refuse(path, "the file's name has characters that cannot be printed", "rename it")
            return
        refusal = self._ownership.refuse(real, found) if self._ownership is not None else None
        if refusal is not None:
            self._refuse(path, refusal.message, f"to put it right: {refusal.fix}")
            return
        self._listing.files[path] = Listed(real, signature_of(found))


def too_large(path: str, size: int) -> RefusedFile:
    """Return the refusal of a file of *size* bytes, which is not read at all."""
    message = f"the file has {size} bytes: at most {LARGEST_FILE} (256 KiB) are read"
    return RefusedFile(path, message, ("split the file",))


def is_dropping(name: str) -> bool:
    """Whether *name* is hidden, an editor's (``.x.swp``, ``#x#``, ``x~``) or a file system's own.

    ``x.yaml.bak``, ``x.yaml.tmp`` and the like do not end as desired state does.
    """
    return name.startswith((".", "#")) or name.endswith(("~", "#")) or name == "lost+found"


def signature_of(found: os.stat_result) -> Signature:
    return (
        found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns,
        found.st_mode, found.st_uid, found.st_gid,
    )  # fmt: skip


def _trust(ownership: Ownership, path: Path, found: os.stat_result, *, parent: bool = False) -> None:
    refusal = ownership.refuse(path, found, parent=parent)
    if refusal is not None:
        raise UnreadableError(str(refusal))


@contextlib.contextmanager
def _reading(directory: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as exc:
        raise MovedError(str(directory)) from exc
    except OSError as exc:
        raise UnreadableError(f"{directory} cannot be read: {exc.strerror}") from exc


def _target(link: Path) -> str:
    try:
        return shown(str(link.readlink()))
    except OSError:
        return "it is gone"


def shown(path: str) -> str:
    """Return *path* as text that can be stored and printed."""
    return "".join(character if character.isprintable() else "�" for character in path)
