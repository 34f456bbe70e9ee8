"""Services whose traffic must be with stable, because what happens to them cannot be written down."""

from crds.service import Color


class Shelter:
    """What releases say to splits past the store, in the one case that the store takes nothing.

    A candidate whose evidence nobody can keep, and whose rollback nobody could write, has no users.
    """

    def __init__(self) -> None:
        self._colors: dict[str, Color] = {}

    def seek(self, service: str, stable: Color) -> None:
        """Let all traffic of a service go to *stable*, whatever its split says."""
        self._colors[service] = stable

    def leave(self, service: str) -> None:
        """Let the split hold again."""
        self._colors.pop(service, None)

    def of(self, service: str) -> Color | None:
        """Return the colour that has all traffic, None where the split holds."""
        return self._colors.get(service)
