"""Bodies of servers that are not to be trusted with our memory: read up to a size, parsed up to a shape."""

import json
import math
import re
from typing import Final

import aiohttp
from pydantic import JsonValue

LARGEST: Final = 32 * 1024 * 1024
"""Bytes, after decompression. Ten thousand queues are about 10 MB."""
MOST_VALUES: Final = 1_000_000
"""A value costs up to 70 bytes and 0.3 us; the loop waits for the parser."""
#: Half of a surrogate pair, or a whole one: only then it is looked at closely.
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


class BodyError(ValueError):
    """It is larger, deeper or fuller than anything that we ask for, or no JSON; the text says which."""


async def read_body(response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body; raise BodyError where it is larger than any that we ask for."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > LARGEST:
            raise BodyError(f"an answer of more than {LARGEST // 1024**2} MiB")
        parts.append(part)
    return b"".join(parts)


def json_of(raw: bytes) -> JsonValue:
    """Return what *raw* says; raise BodyError. Numbers are finite, and texts can be written as UTF-8."""
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MOST_VALUES:
        raise BodyError(f"an answer of more than {MOST_VALUES} values")
    try:
        found: JsonValue = json.loads(raw, parse_float=_finite, parse_constant=_finite)
        if _SURROGATE.search(raw):
            found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        raise BodyError("an answer that is nested too deeply") from None
    except ValueError:
        raise BodyError("an answer that is no JSON") from None
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
