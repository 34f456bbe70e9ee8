"""What a page of psactl is made of: titled sections, and names with their texts."""

import textwrap
from collections.abc import Sequence

from daemon.cli.screen import Screen, Tone


def section(title: str, lines: Sequence[str], screen: Screen) -> str:
    """Return lines under their title, indented; without a title as they are."""
    if not title:
        return "\n".join(lines)
    return "\n".join([screen.paint(title, Tone.TITLE), *(textwrap.indent(line, "  ") for line in lines)])


def pairs(found: Sequence[tuple[str, str]], screen: Screen, indent: str = "") -> list[str]:
    """Return aligned names and texts; a long text goes on under itself."""
    width = max((len(name) for name, _ in found), default=0)
    lines = []
    for name, text in found:
        head = f"{indent}{name:{width}}  "
        first, *rest = screen.wrap(text, len(head))
        lines += [f"{head}{first}", *(f"{' ' * len(head)}{line}" for line in rest)]
    return lines
