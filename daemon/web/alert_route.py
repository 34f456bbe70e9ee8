"""POST /webhooks/alertmanager: who is not let in is not listened to, and nothing is read without a limit."""

import asyncio
import json
from typing import Final

from aiohttp import web

from daemon.ports import Clock
from daemon.store.operations import Record
from daemon.store.store import CommitError
from daemon.web.alert_access import Access
from daemon.web.alert_decision import ACTOR, Decision
from daemon.web.alert_inbox import AlertInbox, Metrics
from daemon.web.alert_lanes import NotTakenError
from daemon.web.alert_message import Message, MessageError, harmless, read_message
from daemon.web.asked import Refusal
from daemon.web.console import DAEMON

PATH: Final = "/webhooks/alertmanager"
LARGEST_BODY: Final = 256 * 1024
"""Bytes of a message; Alertmanager's own with 100 alerts has about 80 000."""
BODY_S: Final = 5.0
"""How long a body may take to come."""
MOST_READ: Final = 128
"""Messages that may be read at once; those that wait to be written have their room in the inbox."""
_RETRY_S: Final = 2
_REFUSALS_EACH_S: Final = 60.0
"""Requests without a valid token leave an event this often at most: a stranger makes us write little."""


class AlertRoute:
    """Reads messages for the inbox, in an order in which each check is cheaper than what it guards."""

    def __init__(self, inbox: AlertInbox, access: Access, clock: Clock, metrics: Metrics) -> None:
        self._inbox = inbox
        self._access = access
        self._clock = clock
        self._metrics = metrics
        self._read = 0
        self._refused = 0
        self._refusal_at = -_REFUSALS_EACH_S

    def definition(self) -> web.RouteDef:
        """Return the route."""
        return web.post(PATH, self._post, expect_handler=_not_yet)

    async def _post(self, request: web.Request) -> web.Response:
        try:
            return _taken(await self._decisions(request))
        except Refusal as exc:
            return _refusal(exc)

    async def _decisions(self, request: web.Request) -> tuple[Decision, ...]:
        if not self._access.admits(request.headers.get("Authorization", "")):
            self._note_refused(request.remote or "this machine")
            raise Refusal(401, "Unauthorized", "unauthorized")
        message = await self._message(request)
        actor = f"{ACTOR} at {request.remote}" if request.remote else ACTOR
        try:
            return await self._inbox.take(message, actor, request.content_length or 0)
        except NotTakenError as exc:
            raise Refusal(503, "Busy", str(exc)) from None
        except CommitError as exc:
            raise Refusal(503, "StoreBroken", str(exc)) from None

    async def _message(self, request: web.Request) -> Message:
        if self._read >= MOST_READ:
            self._metrics.count("dropped")
            raise Refusal(503, "Busy", "too many messages are read")
        self._read += 1
        try:
            return read_message(await _body_of(request))
        except (Refusal, MessageError) as exc:
            self._metrics.count("malformed")
            raise exc if isinstance(exc, Refusal) else Refusal(400, "BadMessage", str(exc)) from None
        finally:
            self._read -= 1

    def _note_refused(self, sender: str) -> None:
        """Count a request without a valid token; now and then that is an event."""
        self._metrics.count("unauthorized")
        self._refused += 1
        now = self._clock.monotonic()
        if now - self._refusal_at < _REFUSALS_EACH_S:
            return
        text = f"{self._refused} without a valid token since the last such event; this one came from {sender}"
        self._inbox.note(Record(DAEMON, self._clock.now(), "AlertRefused", harmless(text, 200), warning=True))
        self._refused, self._refusal_at = 0, now


async def _not_yet(_request: web.Request) -> None:
    """Say nothing to ``Expect: 100-continue`` before it is known whether the body is wanted."""


async def _body_of(request: web.Request) -> bytes:
    """Return the body; raise Refusal for one that is no JSON, too large, too slow or of unknown length."""
    headers = request.headers
    if (
        request.content_type != "application/json"
        or headers.get("Content-Encoding", "identity") != "identity"
    ):
        raise Refusal(415, "BadType", "the body is no plain JSON", "Content-Type: application/json")
    length = request.content_length
    if length is None:
        raise Refusal(411, "NoLength", "the body's length is not said", "Content-Length: …")
    if length > LARGEST_BODY:
        hint = "set the receiver's max_alerts"
        raise Refusal(413, "TooLarge", f"{length} bytes are too many: at most {LARGEST_BODY}", hint)
    if headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    try:
        async with asyncio.timeout(BODY_S):
            return await request.content.readexactly(length)
    except TimeoutError:
        raise Refusal(408, "TooSlow", f"the body was not there within {BODY_S:g} s") from None
    except asyncio.IncompleteReadError:
        raise Refusal(400, "BadMessage", "the body ends too early") from None


def _taken(decisions: tuple[Decision, ...]) -> web.Response:
    shown = [{"result": each.result.value, "message": each.message} for each in decisions]
    # The line end is for people at a terminal.
    return web.Response(text=f"{json.dumps({'alerts': shown})}\n", content_type="application/json")


def _refusal(refusal: Refusal) -> web.Response:
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": f"{_RETRY_S}"}}
    error = {"code": refusal.code, "message": str(refusal), "hint": refusal.hint}
    answer = web.json_response({"error": error}, status=refusal.status, headers=headers.get(refusal.status))
    if refusal.status not in {400, 503}:
        answer.force_close()  # the body was not read: what comes next is no request
    return answer
