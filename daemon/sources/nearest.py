"""Did you mean: the nearest of the words that are allowed."""

import difflib
from collections.abc import Iterable


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed word that *word* is most likely meant to be, or None."""
    by_form = {_form(candidate): candidate for candidate in allowed}
    close = difflib.get_close_matches(_form(word), by_form, n=1, cutoff=0.65)
    return by_form[close[0]] if close else None


def _form(word: str) -> str:
    """Return what counts: on_boot, on-boot and OnBoot are all onBoot."""
    return word.lower().replace("_", "").replace("-", "")
