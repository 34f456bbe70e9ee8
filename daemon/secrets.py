"""Secrets that specs select by name: read anew at each need, so that a changed file is followed."""

from collections.abc import Mapping
from pathlib import Path

from daemon.credentials import TokenError, read_token
from daemon.logs import hide
from reconcilers.contract import PermanentError, Secret


class SecretFiles:
    """The files of the settings' ``secrets``, by name."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def read(self, name: str) -> Secret:
        """Return the secret; PermanentError SecretUnavailable where there is none, or others can read it."""
        file = self._files.get(name)
        if file is None:
            known = ", ".join(sorted(self._files)) or "none"
            raise _unavailable(f"the settings have no secret {name}: there is {known}")
        return read_secret(file)


def read_secret(file: Path) -> Secret:
    """Return the one line of a secret file, which no log line shows from then on.

    Raises PermanentError SecretUnavailable.
    """
    try:
        text = read_token(file)
    except TokenError as exc:
        raise _unavailable(str(exc)) from None
    if not text:
        raise _unavailable(f"{file}: it is empty")
    hide(text)
    return Secret(text)


def _unavailable(message: str) -> PermanentError:
    return PermanentError(message, reason="SecretUnavailable", asked_outside=False)
