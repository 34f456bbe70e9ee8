"""HAProxy's server-state file on this machine: read, and replaced whole."""

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

from reconcilers.contract import NotSentError, TransientError

_MODE: Final = 0o644
_LARGEST: Final = 16 * 1024 * 1024


async def read_state_file(path: Path) -> str | None:
    """Return what the file holds, None if there is none. Raises TransientError."""
    return await asyncio.to_thread(_read, path)


async def write_state_file(path: Path, text: str) -> None:
    """Replace the file atomically, durably and readable for all. Raises NotSentError: the old one stays."""
    await asyncio.to_thread(_write, path, text)


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise TransientError(f"cannot read the server-state file {path}: {exc.strerror}") from exc


def _write(path: Path, text: str) -> None:
    draft: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        draft = Path(name)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), _MODE)
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as exc:
        if draft is not None:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
        raise NotSentError(f"cannot write the server-state file {path}: {exc.strerror}") from exc
