"""Tokens of the settings: small files that nobody else can read, or credentials that systemd hands over."""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator

CREDENTIALS: Final = Path("/etc/psa-reconciler/credentials")
"""What the shipped unit loads: each file there is a credential, and root's only."""
PREFIX: Final = "credential:"
_ID: Final = "psa"
"""How the unit calls that directory; systemd names its files psa_NAME (systemd.exec(5), LoadCredential=)."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_LARGEST: Final = 1024


class TokenError(Exception):
    """A token cannot be had; the text says why, and never holds any of it."""


def _reachable(path: Path) -> Path:
    text = str(path)
    if not text.startswith(PREFIX):
        if not path.is_absolute():
            raise ValueError("an absolute path is needed, or credential:NAME")
        return path
    if _NAME.fullmatch(text.removeprefix(PREFIX)) is None:
        raise ValueError("credential:NAME takes the name of one file: letters, digits and . _ -, 100 at most")
    return path


TokenFile = Annotated[Path, AfterValidator(_reachable)]
"""An absolute path, or ``credential:NAME``."""


def read_token(file: Path, environ: Mapping[str, str] = os.environ) -> str:
    """Return the one line of a token; raise TokenError where it is missing, or others know it.

    ``credential:NAME`` is what systemd loaded as NAME, or from CREDENTIALS; outside a unit, the file there.
    """
    text = str(file)
    if not text.startswith(PREFIX):
        return _read(file, forbidden=0o077)
    name = text.removeprefix(PREFIX)
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if folder is None:
        return _read(CREDENTIALS / name, forbidden=0o077)
    found = next(
        (each for each in (Path(folder) / f"{_ID}_{name}", Path(folder) / name) if each.exists()), None
    )
    if found is None:
        raise TokenError(f"{file}: systemd handed over no such file: put it into {CREDENTIALS}, then restart")
    # Where systemd gives access by an ACL, its mask stands in the group's place.
    return _read(found, forbidden=0o007)


def _read(path: Path, *, forbidden: int) -> str:
    try:
        # Without O_NONBLOCK a FIFO in its place would hold the start for ever.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123 - a descriptor
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise TokenError(f"{path}: it cannot be read: not a regular file")
            if found.st_mode & forbidden:
                mode = f"{found.st_mode & 0o777:03o}"
                raise TokenError(f"{path}: mode {mode} lets others at it: chmod 600 {path}")
            if found.st_uid not in {0, os.geteuid()}:
                owner = f"it belongs to uid {found.st_uid}, who knows it, too"
                raise TokenError(f"{path}: {owner}: chown root {path}, or to the daemon's user")
            return file.read(_LARGEST).decode("ascii").strip()
    except OSError as exc:
        raise TokenError(f"{path}: it cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise TokenError(f"{path}: it cannot be read: it is not ASCII text") from None
