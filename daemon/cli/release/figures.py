"""Figures of an entry as lines: errors, evidence, response times, and what is missing. Pure."""

import math
import re
from collections.abc import Iterator
from typing import Final

from daemon.cli.release.facts import Figures, Wish
from daemon.cli.screen import Screen, Tone
from daemon.cli.spans import lasting

_CELLS: Final = 20
_WORRYING: Final = 0.5
#: A verdict that says no more than the figures beside it (reconcilers/release/analysis.py).
_FIGURES_ALONE: Final = re.compile(
    r"\S+( %)? of (?P<requests>\d+) requests failed, limit \S+ %( \([^)]*\))?(; stable \S+( %)? of \d+)?"
)
_PRECISE: Final = 2
"""Digits that count in a small percentage."""


def percent(share: float) -> str:
    """Return a share of 1 as a percentage with two digits that count."""
    value = share * 100
    if value <= 0:
        return "0%"
    digits = max(_PRECISE - 1 - math.floor(math.log10(value)), 0)
    text = f"{value:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%"


def figure_lines(found: Figures, wish: Wish, screen: Screen) -> Iterator[str]:
    """Return a line a measure, each with its sign."""
    for tone, name, text in _measures(found, wish):
        first, *rest = screen.wrap(text, len("✔ evidence  "))
        yield f"{screen.paint(tone.glyph or ' ', tone)} {name:8}  {first}"
        yield from (f"{'':12}{line}" for line in rest)


def _measures(found: Figures, wish: Wish) -> Iterator[tuple[Tone, str, str]]:
    yield _errors(found, wish)
    if found.needed > 0:
        yield _evidence(found)
    if found.milliseconds or wish.limits_ms:
        yield _response(found, wish)
    if found.missing:
        yield Tone.BUSY, "missing", _missing(found.missing, found.rate)
    alone = _FIGURES_ALONE.fullmatch(found.says)
    if found.says and (alone is None or int(alone["requests"]) != found.requests):
        yield Tone.PLAIN, "rule", found.says


def _errors(found: Figures, wish: Wish) -> tuple[Tone, str, str]:
    stable = f"stable {_ratio(found.stable_errors, found.stable_requests)}"
    text = f"{_ratio(found.errors, found.requests)}, limit {wish.limit * 100:g}%; {stable}"
    if not found.requests:
        return Tone.BUSY, "errors", text
    return (Tone.BAD if found.ratio > wish.limit else Tone.GOOD), "errors", text


def _ratio(errors: int, requests: int) -> str:
    if not requests:
        return "no request yet"
    return f"{percent(errors / requests)} ({errors:,} of {requests:,})"


def _evidence(found: Figures) -> tuple[Tone, str, str]:
    full = int(found.strength * _CELLS)  # full only where it is enough
    bar = "█" * full + "░" * (_CELLS - full)
    has = f"10^{found.evidence:.1f}" if found.evidence > 0 else "none"
    tone = Tone.BAD if found.strength >= _WORRYING else Tone.GOOD
    return tone, "evidence", f"{bar} {has} of 10^{found.needed:.1f} needed to act"


def _response(found: Figures, wish: Wish) -> tuple[Tone, str, str]:
    if not found.milliseconds:
        limits = ", ".join(f"{name} {_ms(value)}" for name, value in wish.limits_ms.items())
        return Tone.BUSY, "response", f"nothing measured in the last minute; limits: {limits}"
    said, is_slow = [], False
    for name, value in found.milliseconds.items():
        limit = wish.limits_ms.get(name)
        said.append(f"{name} {_ms(value)}" + (f" of {_ms(limit)}" if limit is not None else ""))
        is_slow = is_slow or (limit is not None and value > limit)
    return (Tone.BAD if is_slow else Tone.GOOD), "response", ", ".join(said)


def _ms(value: float) -> str:
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"  # noqa: PLR2004 - enough digits


def _missing(requests: int, rate: float) -> str:
    soon = f", about {lasting(math.ceil(requests / rate))} at today's traffic" if rate > 0 else ""
    return f"{requests:,} request{'' if requests == 1 else 's'}{soon}"
