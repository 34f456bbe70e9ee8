"""What a request says and who sends it; what is not clear is refused."""

import os
import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from crds.meta import Key
from daemon.web.answers import Json
from daemon.web.unix_socket import peer_uid

LONGEST_REASON: Final = 500
"""Characters of a reason that are kept."""


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of ours
    """What is asked is not done; *status* is HTTP's, *code* one CamelCase word."""

    def __init__(self, status: int, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.hint = hint


def _connection(request: web.Request) -> socket.socket | None:
    found: socket.socket | None = request.transport.get_extra_info("socket") if request.transport else None
    return found


def is_unix(request: web.Request) -> bool:
    """Whether it came in through the UNIX socket."""
    connection = _connection(request)
    return connection is not None and connection.family == socket.AF_UNIX


def operator_of(request: web.Request, *, admin: bool = False) -> str:
    """Return who asks, by the kernel's word; refuse TCP, and where *admin* is needed all but root and us."""
    connection = _connection(request)
    if connection is None or not is_unix(request):
        raise Refusal(403, "ReadOnly", "TCP only reads", "use psactl on the machine itself")
    uid = peer_uid(connection)
    if admin and uid not in {0, os.geteuid()}:
        raise Refusal(403, "NotAdmin", f"uid {uid} may not do this", "root and the daemon's user may")
    return f"uid {uid}"


async def body_of(request: web.Request) -> Mapping[str, Json]:
    """Return the JSON object that was sent."""
    if request.content_type != "application/json":
        # A page of another site can post text to us, but no JSON.
        raise Refusal(400, "BadJson", "the body is no JSON", "Content-Type: application/json")
    try:
        found = await request.json()
    except (ValueError, RecursionError):
        raise Refusal(400, "BadJson", "the body is no JSON") from None
    if not isinstance(found, dict):
        raise Refusal(400, "BadJson", "the body is no JSON object")
    return found


async def object_of(request: web.Request) -> Key:
    """Return the key that the body's field ``object`` names."""
    return key_of(str((await body_of(request)).get("object", "")))


def key_of(text: str) -> Key:
    """Return the key that *text* names."""
    try:
        return Key.parse(text)
    except ValueError as exc:
        raise Refusal(400, "BadName", str(exc)) from None


def number_of(text: str) -> int:
    """Return the number that *text* is."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Refusal(400, "BadNumber", f"{text!r} is no number")
    return int(text)


def instant_of(text: Json) -> datetime | None:
    """Return the instant, in UTC, that *text* is; None for nothing."""
    if text is None:
        return None
    hint = "such as 2026-11-24T18:00:00Z"
    try:
        found = datetime.fromisoformat(str(text))
        if found.tzinfo is None:
            raise Refusal(400, "BadTime", f"{text!r} has no time zone", hint)
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refusal(400, "BadTime", f"{text!r} is no time", hint) from None


def reason_of(body: Mapping[str, Json]) -> str:
    """Return why, on one line without control characters; never refused, for haste must not be."""
    words = " ".join(str(body.get("reason") or "").split())
    return "".join(each for each in words if each.isprintable())[:LONGEST_REASON] or "no reason given"


def end_of(body: Mapping[str, Json], now: datetime) -> datetime:
    """Return the body's ``until``, which must be there and lie ahead."""
    until = instant_of(body.get("until"))
    if until is None:
        raise Refusal(400, "BadTime", "`until` is missing", "such as 2026-11-24T18:00:00Z")
    if until <= now:
        raise Refusal(400, "BadTime", f"{body.get('until')} is over", "an instant that lies ahead")
    return until
