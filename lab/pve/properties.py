"""Proxmox's property strings: ``local:1,mp=/data,size=1G``."""

from collections.abc import Iterable, Mapping


def parse(text: str, default_key: str = "") -> dict[str, str]:
    """Split into keys and values; the part without ``=`` belongs to *default_key*."""
    found: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if equals:
            found[key.strip()] = value.strip()
        elif part.strip():
            found[default_key or part.strip()] = part.strip()
    return found


def join(values: Mapping[str, str], *, first: Iterable[str], bare: str = "") -> str:
    """Print *first* in that order and the rest sorted; the key *bare* is printed as its value only."""
    front = [key for key in first if key in values]
    keys = front + sorted(key for key in values if key not in front)
    return ",".join(values[key] if key == bare else f"{key}={values[key]}" for key in keys)
