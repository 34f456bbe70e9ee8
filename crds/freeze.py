"""Freeze: all releases stand still for a while."""

from datetime import datetime
from typing import Final

from pydantic import AwareDatetime

from crds.meta import Model

#: The daemon's own value that holds it; empty once it is lifted.
FREEZE: Final = "freeze"


class Freeze(Model):
    """Nothing moves forward until then; rollbacks, alerts and the rule still act."""

    until: AwareDatetime
    """When it ends by itself."""
    reason: str
    """Why."""
    actor: str
    """Who."""


def freeze_at(value: str | None, now: datetime) -> Freeze | None:
    """Return the freeze that is in force at *now* by the daemon's value; ValueError for what is none."""
    if not value:
        return None
    found = Freeze.model_validate_json(value)
    return found if now < found.until else None
