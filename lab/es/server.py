"""The stand-in as a process: one HTTP listener, and a file that keeps what it holds.

``python -m lab.es.server --state DIR/es.json --listen 127.1.30.14:9200 --accounts DIR/accounts.json``
"""

import argparse
import asyncio
import json
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import web
from pydantic import JsonValue

from lab.es.answers import Asked, part
from lab.es.cluster import EsCluster
from lab.es.world import World

#: What is asked below this is the lab's: faults, and time.
CONTROL: Final = "/_lab"
_LARGEST: Final = 100 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """How the process was called."""

    state: Path
    listen: tuple[str, int]
    name: str
    accounts: Path | None


@dataclass
class Served:
    """A cluster behind HTTP. *shift_s* lets time go on at a word."""

    cluster: EsCluster
    state: Path | None = None
    shift_s: float = 0.0
    seen: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of every request, for tests."""

    def now(self) -> float:
        return time.time() + self.shift_s

    async def answer(self, request: web.Request) -> web.Response:
        try:
            body: JsonValue = json.loads(await request.read() or b"null")
        except ValueError as error:
            reason = f"invalid JSON: {error}"
            found: JsonValue = {"error": {"type": "parse_exception", "reason": reason}, "status": 400}
            return _response(400, found, {})
        if request.path.startswith(CONTROL):
            self._control(request.path.removeprefix(CONTROL).strip("/"), body)
            self._keep()
            return _response(200, {"acknowledged": True}, {})
        self.seen.append((request.method, request.path))
        authorization = request.headers.get("Authorization", "")
        asked = Asked(request.method, request.path, dict(request.query), body, authorization)
        before = self.cluster.world.changes
        answered = self.cluster.answer(asked, self.now())
        if self.cluster.world.changes != before:
            self._keep()
        return _response(answered.status, answered.body, dict(answered.headers))

    def _control(self, what: str, body: JsonValue) -> None:
        given = part({"": body}, "")
        match what:
            case "flood":
                self.cluster.flood(self.now(), names=str(given.get("indices", "*")))
            case "dry":
                self.cluster.dry()
            case "age":
                self.shift_s += float(str(given["seconds"]))
            case "reset":
                former, self.shift_s = self.cluster.world, 0.0
                self.cluster.world = World(name=former.name, uuid=former.uuid, accounts=former.accounts)
            case "faults":
                for name, value in given.items():
                    setattr(self.cluster.world.faults, name, value)
            case _:
                raise web.HTTPNotFound

    def _keep(self) -> None:
        if self.state is not None:
            draft = self.state.with_suffix(".draft")
            draft.write_text(self.cluster.world.to_json())
            draft.replace(self.state)


def _response(status: int, body: JsonValue, headers: dict[str, str]) -> web.Response:
    known = {"X-elastic-product": "Elasticsearch", **headers}
    return web.json_response(body, status=status, headers=known)


def application(served: Served) -> web.Application:
    """Return the HTTP side."""
    app = web.Application(client_max_size=_LARGEST)
    app.router.add_route("*", "/{path:.*}", served.answer)
    return app


def settings_of(argv: Sequence[str] | None = None) -> Settings:
    parser = argparse.ArgumentParser(prog="python -m lab.es.server", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="the file that keeps the cluster")
    parser.add_argument("--listen", required=True, help="HOST:PORT")
    parser.add_argument("--name", default="psa-platform", help="the cluster's name")
    parser.add_argument("--accounts", type=Path, help="JSON: password by user, closed to others")
    given = parser.parse_args(argv)
    host, _, port = given.listen.rpartition(":")
    return Settings(given.state, (host, int(port)), given.name, given.accounts)


def load(settings: Settings) -> EsCluster:
    """Return the cluster of the state file, or a new one."""
    if settings.state.exists():
        world = World.from_json(settings.state.read_text())
    else:
        # Another folder is another cluster, as with a real one.
        world = World(
            name=settings.name, uuid=f"{abs(hash((str(settings.state), time.time_ns()))):022x}"[:22]
        )
    if settings.accounts is not None:
        world.accounts = json.loads(settings.accounts.read_text())
    return EsCluster(world)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    served = Served(load(settings), settings.state)
    runner = web.AppRunner(application(served), access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, *settings.listen, reuse_address=True).start()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(settings_of()))
