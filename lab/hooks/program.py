"""One program for all hooks of the lab, run as a file: ``program.py NAME FOLDER``.

A file NAME in FOLDER has one of the words of ``TROUBLES``, with seconds behind it or not, and it is so.
``PSA_URL`` is the candidate's own address, ``PSA_VERSION`` what it must run.
"""

import http
import http.client
import json
import os
import signal
import sys
import time
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

#: No trouble outlives a lab for long, whoever forgets to end it.
_AT_MOST_S: Final = 600.0
_TIMEOUT_S: Final = 2.0
_TRIES: Final = 3


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _fail(_seconds: float) -> int:
    _say("FAILED test_invoice.py::test_total_has_vat - assert 100 == 119")
    _say("1 failed, 41 passed")
    return 1


def _hang(seconds: float) -> int:
    _say("waiting for a lock that nobody gives up")
    time.sleep(seconds)
    return 0


def _be_stubborn(seconds: float) -> int:
    signal.signal(signal.SIGTERM, lambda _number, _frame: _say("SIGTERM? not now"))
    _say("waiting, and ignoring SIGTERM")
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(left)  # a signal ends a sleep early
    return 0


def _flood(seconds: float) -> int:
    line, end = ("all work and no play " * 50 + "\n").encode(), time.monotonic() + seconds
    while time.monotonic() < end:
        os.write(1, line)
    return 0


def _fork(seconds: float) -> int:
    """Leave a child that has our output and our process group, and end well."""
    if os.fork() == 0:
        time.sleep(seconds)
        os._exit(0)
    _say("a child is left behind")
    return 0


def _escape(seconds: float) -> int:
    """Leave a child in a session of its own."""
    if os.fork() == 0:
        os.setsid()
        time.sleep(seconds)
        os._exit(0)
    _say("a child has left the process group")
    return 0


def _crash(_seconds: float) -> int:
    _say("about to crash")
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def _be_slow(seconds: float) -> int:
    time.sleep(seconds)
    return 0


TROUBLES: Final[Mapping[str, Callable[[float], int]]] = {
    "fail": _fail,
    "hang": _hang,
    "stubborn": _be_stubborn,
    "flood": _flood,
    "fork": _fork,
    "escape": _escape,
    "crash": _crash,
    "slow": _be_slow,
}


def _trouble(path: Path) -> tuple[str, float] | None:
    """Return what is wrong with this hook, and for how many seconds."""
    try:
        word, _, seconds = path.read_text().strip().partition(" ")
    except FileNotFoundError:
        return None
    return word, min(_AT_MOST_S, float(seconds)) if seconds else _AT_MOST_S


def _smoke() -> int:
    """Ask the candidate itself: its health, its version, a page."""
    url, wanted = os.environ.get("PSA_URL", ""), os.environ.get("PSA_VERSION", "")
    place = urllib.parse.urlsplit(url)
    if not place.hostname:
        _say(f"PSA_URL={url!r}: no address to ask")
        return 1
    for path in ("/health", "/"):
        # How often it fails is the watch's question, a smoke test's is whether it works at all.
        if not any(_is_well(place.netloc, path, wanted) for _ in range(_TRIES)):
            _say(f"200 and version {wanted} were expected")
            return 1
    return 0


def _is_well(netloc: str, path: str, wanted: str) -> bool:
    connection = http.client.HTTPConnection(netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        said = json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException) as exc:
        _say(f"GET http://{netloc}{path}: {exc}")
        return False
    finally:
        connection.close()
    _say(f"GET http://{netloc}{path}: {answer.status}, version {said.get('version')}")
    return answer.status == http.HTTPStatus.OK and said.get("version") == wanted


def _gate(name: str) -> int:
    _say(f"{name}: 42 passed")
    return 0


def main(name: str, folder: Path) -> int:
    """Be the hook *name*; return the exit status."""
    trouble = _trouble(folder / name)
    if trouble is not None:
        word, seconds = trouble
        status = TROUBLES[word](seconds)
        if word != "slow":
            return status
    return _smoke() if name in {"smoke", "functional"} else _gate(name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
