"""Secrets that specs select by name: read anew at each need, so that a changed file is followed."""

from collections.abc import Mapping
from pathlib import Path

from daemon.credentials import TokenError, read_token
from daemon.logs import hide
from daemon.sources.nearest import nearest
from reconcilers.contract import PermanentError, Secret


class SecretFiles:
    """The files of the settings' ``secrets``, by name."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def read(self, name: str) -> Secret:
        """Return the secret; PermanentError SecretUnavailable where there is none, or others can read it.

        The error says the secret's name itself.
        """
        file = self._files.get(name)
        if file is None:
            raise _unavailable(f"the settings have no secret {name}: {self._instead_of(name)}")
        return _read(file, f"secret {name}: ")

    def _instead_of(self, name: str) -> str:
        close = nearest(name, self._files)
        known = ", ".join(sorted(self._files)) or "none"
        return f"there is {known}" if close is None else f"did you mean {close}?"


def read_secret(file: Path) -> Secret:
    """Return the one line of a secret file, which no log line shows from then on.

    Raises PermanentError SecretUnavailable.
    """
    return _read(file, "")


def _read(file: Path, whose: str) -> Secret:
    try:
        text = read_token(file)
    except TokenError as exc:
        raise _unavailable(f"{whose}{exc}") from None
    if not text:
        raise _unavailable(f"{whose}{file}: it is empty")
    hide(text)
    return Secret(text)


def _unavailable(message: str) -> PermanentError:
    return PermanentError(message, reason="SecretUnavailable", asked_outside=False)
