"""Versions of servers: how a file says the lowest one, and which of two is older."""

import re
from typing import Annotated

from pydantic import StringConstraints

VersionFloor = Annotated[str, StringConstraints(pattern=r"^\d{1,3}(\.\d{1,3}){0,2}$")]


def is_older(version: str, than: str) -> bool:
    """Compare the leading three numbers: 15 is 15.0.0, and what a distribution adds counts nothing.

    A version that does not begin with a number is older than all that do.
    """
    return _numbers(version) < _numbers(than)


def _numbers(version: str) -> tuple[int, ...]:
    """Return three numbers: ``2.6.12-1+deb12u4`` gives 2, 6, 12."""
    match = re.match(r"(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?", version)
    return tuple(int(part or 0) for part in match.groups()) if match else (0, 0, 0)
