"""One line of HAProxy's log, read into what it tells of one request: pure, and never raises.

Two forms are understood, bare (``format raw``) or behind a syslog header (rfc3164, rfc5424, local, short):

* ``option httplog`` (HAProxy's configuration manual, 8.2.3), also with more behind it (``option httpslog``);
* ``log-format "psa %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %tsc"``, alone or with more behind it.

What clients send stands behind what is read here in both, so that no request can pretend to be a line. A form
of one's own that begins with what clients send would be open to that.
"""

import re
from typing import Final, NamedTuple

#: Bytes; HAProxy cuts lines at the ``len`` of its log line, 1024 if that is left out.
LONGEST: Final = 8192
_LONGEST_HEAD: Final = 256
_DATED: Final = rb"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d\.\d{3}\] [^ /]+ "
_TIMES: Final = rb"([^ /]+/[^ /]+) (-?\d{1,9})/(-?\d{1,9})/(-?\d{1,9})/(-?\d{1,9})/\+?(-?\d{1,9})"
_STATE: Final = rb"([A-Za-z-]{2})"
_HTTPLOG: Final = re.compile(_DATED + _TIMES + rb" (-1|\d{3}) [^ ]+ [^ ]+ [^ ]+ " + _STATE)
_OWN: Final = re.compile(rb"psa " + _TIMES + rb" (-1|\d{3}) " + _STATE)
_CLAIM: Final = re.compile(rb"psa |" + _DATED)
_TIMED_OUT: Final = b"sH"


class LogLine(NamedTuple):
    """One request. ``server`` is backend/server, as HAProxy writes it; ``<NOSRV>`` and the like are none."""

    server: bytes
    status: int
    """Code that the client got; -1 for none."""
    answer_ms: int | None
    """From the connection to the whole head of the answer, or until HAProxy gave up; None without either.

    Neither the client's slowness nor a queue is in it, nor what was tried before.
    """
    state: bytes
    """Why and where it ended, two letters (8.5)."""


def read_line(line: bytes) -> LogLine | None:
    """Return what a line tells; None where it tells of no request, or not in full."""
    start = _start(line)
    if start is None:
        return None
    found = (_OWN if line.startswith(b"psa ", start) else _HTTPLOG).match(line, start)
    if found is None:
        return None
    server, request, waited, connected, answered, whole, status, state = found.groups()
    answer_ms: int | None = int(answered)
    if answer_ms is not None and answer_ms >= 0:
        answer_ms += max(0, int(connected))
    elif state == _TIMED_OUT:
        answer_ms = max(0, int(whole) - max(0, int(request)) - max(0, int(waited)))
    else:
        answer_ms = None
    return LogLine(server, int(status), answer_ms, state)


def claims(line: bytes) -> bool:
    """Whether a line that cannot be read begins like one that can."""
    start = _start(line)
    return start is not None and _CLAIM.match(line, start) is not None


def _start(line: bytes) -> int | None:
    """Return where the message begins that tells of a request; None where none does.

    A header such as ``<134>Nov 25 16:14:57 haproxy[1234]: `` or ``<134>1 2026-… - haproxy 1234 - - ``, and
    the address before a date, have neither quotes nor braces: behind those stands what clients send.
    """
    start = line.find(b" [", 0, _LONGEST_HEAD) + 1
    own = line.find(b"psa ", 0, _LONGEST_HEAD)
    if own >= 0 and not 0 < start < own and _ends_header(line, own):
        start = own
    elif start == 0:
        return None
    head = line[:start]
    return None if b'"' in head or b"{" in head else start


def _ends_header(line: bytes, at: int) -> bool:
    """Whether a syslog header, or nothing at all, stands before *at*."""
    return at == 0 or (line.startswith(b"<") and line[:at].endswith((b">", b": ", b" - ")))
