"""One container's application: how it meets each request, decided at once; answers are made beforehand."""

import enum
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

from lab.app_faults import AppFault
from lab.database import Database
from lab.slots import Slot

#: A gateway's requests below it go to a peer: /api/psa-crm/x to psa-crm's /x, /api to each known one in turn.
_CALLS: Final = "/api"
_BEGINNINGS: Final = frozenset({_CALLS, f"{_CALLS}/", f"{_CALLS}?"})


class Manner(enum.Enum):
    """How a request is met."""

    WHOLE = "whole"
    HANG = "hang"
    RESET = "reset"
    GARBAGE = "garbage"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a request gets: after ``delay_s`` the answer, whose body takes ``body_s``.

    With CALL ``answer`` is unused, and the answer is made of that of ``peer`` to ``target``.
    """

    answer: bytes
    counted: str = ""
    """What is counted: a status, or the manner of what has no answer; nothing for health checks."""
    manner: Manner = Manner.WHOLE
    delay_s: float = 0.0
    body_s: float = 0.0
    peer: str = ""
    target: str = ""


def answer(status: int, body: object, served_by: str = "") -> bytes:
    """Return a whole HTTP answer with a JSON body; *served_by* is who gives it."""
    content = json.dumps(body).encode()
    who = f"X-Served-By: {served_by}\r\n" if served_by else ""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{who}"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


class Site:
    """The application of one container: its answers, what is wrong with it, counts of what it served."""

    def __init__(
        self,
        slot: Slot,
        *,
        hostname: str,
        version: str,
        started_at: float = 0.0,
        database: Database | None = None,
        knows: Callable[[str], bool] = lambda _peer: True,
        draw: Callable[[], float] = random.random,  # noqa: S311 - no secret
    ) -> None:
        """*started_at* is the container's start, which tells it from the next one in this slot.

        *knows* says of a peer whether there is such a service, running or not.
        """
        self.slot = slot
        self.hostname = hostname
        self.version = version
        self.started_at = started_at
        self.database = database or Database()
        self.faults: tuple[AppFault, ...] = ()
        self.counts: Counter[str] = Counter()
        """Answers by status, and what had no answer by its manner."""
        self.requests = 0
        self._draw = draw
        self._knows = knows
        self._bursts: set[AppFault] = set()
        self._turn = 0
        self._health_target = slot.health_path
        self.served_by = f"{slot.service} {slot.color.value} {version}"
        self._who = {
            "service": slot.service, "color": slot.color.value, "version": version, "hostname": hostname
        }  # fmt: skip
        self._page = Reaction(answer(200, self._who, self.served_by), "200")

    @property
    def refuses(self) -> bool:
        """Whether it shall take no connections."""
        return any(fault.refuse for fault in self.faults)

    def react(self, target: str, age_s: float) -> Reaction:
        """Decide how a request for *target* is met, *age_s* after the container's start."""
        if target == self._health_target:
            return self._health()
        self.requests += 1
        if not self.faults and not self.database.is_troubled:
            return self._well(target)
        faults = [fault for fault in self.faults if target.startswith(fault.path)]
        met = self._without_answer(faults) or self._failed(faults, age_s) or self._well(target)
        slowed = [fault for fault in faults if fault.slow_share >= 1 or self._draw() < fault.slow_share]
        leaking = sum(fault.leak_latency * fault.leaked(self.requests, age_s) for fault in faults)
        waiting = sum(fault.latency for fault in slowed) + self.database.delay_s(self.slot.service)
        body_s = sum(fault.slow_body for fault in slowed)
        return replace(met, delay_s=leaking + waiting, body_s=body_s)

    def called(self, peer: str, status: int, body: bytes) -> Reaction:
        """Return the answer after a peer's; *status* 0 is none, and *body* then says why."""
        if status == HTTPStatus.OK:
            return Reaction(answer(200, self._who | {"peer": _decoded(body)}, self.served_by), "200")
        why = f"{status} {body.decode(errors='replace')}" if status else body.decode()
        return self._error(502, f"{peer}: {why}")

    def _well(self, target: str) -> Reaction:
        if not self.slot.peers or target[: len(_CALLS) + 1] not in _BEGINNINGS:
            return self._page
        path, mark, query = target.removeprefix(_CALLS).removeprefix("/").partition("?")
        asked, _, rest = path.partition("/")
        known = [peer for peer in self.slot.peers if self._knows(peer)] if not asked else []
        if known:
            self._turn += 1
            asked = known[self._turn % len(known)]
        if asked not in self.slot.peers:
            return self._error(404, f"no peer {asked}: there is {', '.join(self.slot.peers)}")
        return replace(self._page, manner=Manner.CALL, peer=asked, target=f"/{rest}{mark}{query}")

    def _health(self) -> Reaction:
        said = next((f.health_version for f in reversed(self.faults) if f.health_version), self.version)
        if any(fault.unhealthy for fault in self.faults):
            return Reaction(answer(503, {"status": "unhealthy", "version": said}, self.served_by))
        body = {"status": "healthy", **self.slot.health, "version": said}
        return Reaction(answer(200, body, self.served_by))

    def _without_answer(self, faults: Sequence[AppFault]) -> Reaction | None:
        for fault in faults:
            shares = ((fault.hang, Manner.HANG), (fault.reset, Manner.RESET), (fault.garbage, Manner.GARBAGE))
            for share, manner in shares:
                if share and self._draw() < share:
                    return Reaction(self._page.answer, manner.value, manner)
        return None

    def _failed(self, faults: Sequence[AppFault], age_s: float) -> Reaction | None:
        for fault in faults:
            leaked = fault.leaked(self.requests, age_s) * fault.leak_errors
            if self._errs(fault, 1 - (1 - fault.error_rate) * (1 - leaked)):
                return self._error(fault.error_status, "as asked for by a fault")
        refusal = self.database.refusal(self.slot.service)
        if refusal is not None:
            return self._error(500, refusal)
        if any(fault.leak_connections and self._draw() < fault.leak_connections for fault in faults):
            self.database.keep(self.slot.ctid)
        return None

    def _errs(self, fault: AppFault, rate: float) -> bool:
        """Draw whether this request fails: alone, or in runs with the same share (a chain of two states)."""
        if fault.error_burst <= 1 or rate in {0.0, 1.0}:
            return self._draw() < rate
        leave = 1 / fault.error_burst
        chance = 1 - leave if fault in self._bursts else min(1.0, leave * rate / (1 - rate))
        is_bad = self._draw() < chance
        (self._bursts.add if is_bad else self._bursts.discard)(fault)
        return is_bad

    def _error(self, status: int, why: str) -> Reaction:
        return Reaction(answer(status, {"error": why}, self.served_by), str(status))


def _decoded(body: bytes) -> object:
    try:
        data: object = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
    return data
