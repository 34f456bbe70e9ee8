"""What ``psactl validate`` says about files and directories, without a daemon."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from daemon.ports import SystemClock
from daemon.sources.assembly import assemble, refused_content
from daemon.sources.directory import Directory
from daemon.sources.listing import RefusedFile, too_large
from daemon.sources.nodes import LARGEST_FILE
from daemon.sources.objects import FileContent, read_objects
from daemon.sources.snapshot import Snapshot
from daemon.sources.tree import parse_here

_ATTEMPTS: Final = 3


def check_paths(paths: Sequence[Path]) -> Snapshot:
    """Return what *paths* declare together, as one directory would; who may write them is not checked.

    Directories are read as the daemon reads them, files whatever they are called. Files are named as the user
    named them. What cannot be read at all is a problem.
    """
    contents: dict[str, FileContent] = {}
    for path in paths:
        found = _directory(path) if path.is_dir() else [_file(path)]
        contents |= {content.file: content for content in found}
    digest = hashlib.sha256("\n".join(contents).encode("utf-8", "surrogateescape")).hexdigest()
    return assemble([contents[file] for file in sorted(contents)], digest)


def _file(path: Path) -> FileContent:
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            return refused_content(too_large(str(path), size))
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        return refused_content(RefusedFile(str(path), "there is no such file or directory"))
    except OSError as exc:
        return refused_content(RefusedFile(str(path), f"the file cannot be read: {exc.strerror}"))
    return read_objects(str(path), data, parse_here(data))


def _directory(path: Path) -> list[FileContent]:
    directory = Directory(path, SystemClock(), settled_after_s=0.0)
    for _ in range(_ATTEMPTS):
        scan = directory.scan_now({})
        if not scan.unsettled:
            break
    else:
        return [refused_content(RefusedFile(str(path), "it is being changed: try again"))]
    if scan.unreadable is not None:
        return [refused_content(RefusedFile(str(path), scan.unreadable))]
    found = [read_objects(str(path / f.path), f.data or b"", parse_here(f.data or b"")) for f in scan.files]
    refused = [refused_content(RefusedFile(str(path / f.path), f.message, f.notes)) for f in scan.refused]
    return found + refused
