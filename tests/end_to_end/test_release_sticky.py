"""Clients that a cookie binds to a server: they leave the losing colour in time, and lose nothing."""

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from crds.release import Phase
from lab.wiring import frontend_address
from tests.real_releases import NEW, NEWER, Releases, releases

_DRAIN_S: Final = 3
_CLIENTS: Final = 6


def _with_cookies(lab: Releases) -> None:
    """Let HAProxy bind each client to the server that it had first."""
    haproxy = lab.sight.haproxy
    (backend,) = haproxy.config.backends
    servers = tuple(replace(each, options=f"cookie {each.name}") for each in backend.servers)
    sticky = replace(backend, servers=servers, options=("cookie SRV insert indirect nocache",))
    haproxy.reload(replace(haproxy.config, backends=(sticky,)))
    lab.wait("the split after the reload", lambda: lab.shares() == (100, 0), 5)


class _Clients:
    """Clients with cookies, each of which asks ten times a second on a connection of its own."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._over = threading.Event()
        self.cookies: list[str | None] = [None] * _CLIENTS
        self.failed: list[str] = []
        self.asked = 0

    def ask(self, number: int) -> None:
        """Ask again and again, as one client."""
        while not self._over.wait(0.1):
            connection = http.client.HTTPConnection(self._address, timeout=5)
            cookie = self.cookies[number]
            try:
                connection.request("GET", "/", headers={"Cookie": cookie} if cookie else {})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as exc:
                self.failed.append(repr(exc))
            else:
                self.asked += 1
                given = answer.headers.get("Set-Cookie")
                self.cookies[number] = given.partition(";")[0] if given else cookie
                if answer.status != http.HTTPStatus.OK:
                    self.failed.append(f"{answer.status}")
            finally:
                connection.close()

    @contextlib.contextmanager
    def coming(self) -> Iterator[None]:
        """Let them come while the block runs."""
        threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(_CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_after_the_deadline_no_client_reaches_the_loser_neither_after_a_promotion_nor_a_rollback(
    short_path: Path,
) -> None:
    with releases(short_path / "lab") as lab:
        _with_cookies(lab)
        clients = _Clients(frontend_address(lab.lab))
        with clients.coming(), lab.users(100) as users:
            lab.wait("all to cling to blue", lambda: clients.cookies == ["SRV=blue"] * _CLIENTS)
            lab.ask_for(NEW, drain=f"{_DRAIN_S}s", soak="8s")
            attempt = lab.wait_in(Phase.VERIFY, Phase.SOAK)
            assert attempt.promoted_at is not None
            time.sleep(max(0.0, attempt.promoted_at.timestamp() + _DRAIN_S + 0.5 - time.time()))
            late = lab.counts()["blue"]
            time.sleep(2)
            assert lab.counts()["blue"] == late, lab.story()
            assert clients.cookies == ["SRV=green"] * _CLIENTS
            lab.wait_in(Phase.COMPLETED)

            lab.ask_for(NEWER, watch="60s")
            lab.wait_in(Phase.WATCH, number=2)
            clients.cookies = ["SRV=blue"] * _CLIENTS
            time.sleep(1)
            assert lab.psactl("release", "rollback").returncode == 0
            late = lab.counts()["blue"]
            time.sleep(1)
            assert lab.counts()["blue"] == late, lab.story()
            assert clients.cookies == ["SRV=green"] * _CLIENTS
        assert (users.failed, clients.failed) == (0, [])
        assert clients.asked > 20 * _CLIENTS


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_client_that_comes_back_in_the_soak_moves_to_the_new_version(short_path: Path) -> None:
    with releases(short_path / "lab") as lab, lab.users(100) as users:
        _with_cookies(lab)
        lab.ask_for(NEW, drain="1s", soak="10s")
        lab.wait_in(Phase.SOAK)
        time.sleep(1)
        late, clients = lab.counts()["blue"], _Clients(frontend_address(lab.lab))
        clients.cookies = ["SRV=blue"] * _CLIENTS
        with clients.coming():
            lab.wait("all to be moved", lambda: clients.cookies == ["SRV=green"] * _CLIENTS, 6)
        # Three looks, one a second, at which somebody had come.
        assert lab.counts()["blue"] - late <= 5 * 10 * _CLIENTS
        attempt = lab.wait_in(Phase.COMPLETED)
        assert attempt.is_closed
        assert clients.failed == []
    assert users.failed == 0
