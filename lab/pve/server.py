"""The simulator as a process: one HTTPS listener per node, a control socket, a state file.

``python -m lab.pve.server --state DIR/pve.json --listen 127.1.0.11:8006 --control DIR/pve.sock``
"""

import argparse
import asyncio
import json
import os
import signal
import ssl
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from lab.pve import certificate, control
from lab.pve.cluster import PveCluster
from lab.pve.faults import ProxyGone
from lab.pve.live import LiveCluster
from lab.pve.message import Auth, Outcome, ParamValue, Request

BASE: Final = "/api2/json"
KEEPALIVE_S: Final = 5.0
BODY_LIMIT_BYTES: Final = 512 * 1024
ERRORS_FROM: Final = 400
TICKET_COOKIE: Final = "PVEAuthCookie"


@dataclass(frozen=True, slots=True)
class Settings:
    state: Path
    listen: tuple[tuple[str, int], ...]
    control: Path
    time_scale: float
    version: str
    seed: int
    pid_file: Path | None


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def settings_of(argv: Sequence[str]) -> Settings:
    parser = argparse.ArgumentParser(prog="python -m lab.pve.server", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="the file that keeps the cluster")
    parser.add_argument(
        "--listen", type=_address, action="append", required=True, help="HOST:PORT, one per node"
    )
    parser.add_argument("--control", type=Path, required=True, help="the control socket")
    parser.add_argument("--time-scale", type=float, default=1.0, help="multiplies every simulated duration")
    parser.add_argument("--version", choices=("8.4", "9.2"), default="8.4")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pid-file", type=Path)
    given = parser.parse_args(argv)
    return Settings(
        given.state,
        tuple(given.listen),
        given.control,
        given.time_scale,
        given.version,
        given.seed,
        given.pid_file,
    )


def load_cluster(settings: Settings, now: float) -> PveCluster:
    """Return the cluster of the state file, or a new one; the time scale is always the given one."""
    if settings.state.exists():
        cluster = PveCluster.from_json(settings.state.read_text())
        cluster.world.time_scale = settings.time_scale
        return cluster
    names = [f"pve{number}" for number in range(1, len(settings.listen) + 1)]
    cluster = PveCluster(
        names, version=settings.version, seed=settings.seed, start=now, time_scale=settings.time_scale
    )
    for name, (host, _port) in zip(names, settings.listen, strict=True):
        cluster.world.nodes[name].ip = host
    return cluster


class NodeApi:
    """The HTTP side of one node."""

    def __init__(self, live: LiveCluster, node: str) -> None:
        self._live = live
        self._node = node

    async def answer(self, request: web.Request) -> web.StreamResponse:
        try:
            params = await _params(request)
        except ValueError as error:
            return _text_response(400, f"invalid JSON: {error}", b"")
        asked = Request(request.method, request.path.removeprefix(BASE), params, _auth(request), self._node)
        response = self._live.answer(asked)
        if response.delay_s:
            await asyncio.sleep(response.delay_s)
        if response.outcome is not Outcome.ANSWERED:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        body = response.raw or ("" if response.body is None else json.dumps(response.body))
        return _text_response(response.status, response.reason, body.encode())


def _text_response(status: int, reason: str, body: bytes) -> web.Response:
    answer = web.Response(status=status, reason=reason.replace("\r", ""), body=body)
    answer.content_type = "application/json"
    answer.charset = "UTF-8"
    if status >= ERRORS_FROM:
        answer.force_close()
    return answer


def _auth(request: web.Request) -> Auth:
    return Auth(
        authorization=request.headers.get("Authorization", ""),
        ticket=request.cookies.get(TICKET_COOKIE, ""),
        csrf=request.headers.get("CSRFPreventionToken", ""),
    )


async def _params(request: web.Request) -> dict[str, ParamValue]:
    """Query and body together; a body is a form or, if it says so, JSON."""
    params: dict[str, ParamValue] = dict(request.query)
    if request.content_type == "application/json":
        document = await request.json() if request.can_read_body else {}
        if not isinstance(document, Mapping):
            raise ValueError("not an object")
        return params | {name: _value(value) for name, value in document.items()}
    form = await request.post()
    return params | {name: str(value) for name, value in form.items()}


def _value(value: object) -> ParamValue:
    return value if isinstance(value, str | int | float) else json.dumps(value)


class Listeners:
    """The nodes' ports: the one of a dead node is closed, as in production."""

    def __init__(self, live: LiveCluster, listen: Sequence[tuple[str, int]], tls: ssl.SSLContext) -> None:
        self._live = live
        self._tls = tls
        self._addresses = dict(zip(live.cluster.world.nodes, listen, strict=True))
        self._runners: dict[str, web.AppRunner] = {}

    async def match_nodes(self) -> None:
        """Open the ports of the nodes that are up, close the others."""
        for node, (host, port) in self._addresses.items():
            runner = self._runners.get(node)
            if self._up(node) and runner is None:
                self._runners[node] = await self._open(node, host, port)
            elif not self._up(node) and runner is not None:
                del self._runners[node]
                await runner.cleanup()

    def _up(self, node: str) -> bool:
        fault = self._live.cluster.faults.of_node(node)
        gone = fault is not None and isinstance(fault.fault, ProxyGone)
        return self._live.cluster.world.nodes[node].down_since is None and not gone

    async def _open(self, node: str, host: str, port: int) -> web.AppRunner:
        app = web.Application(client_max_size=BODY_LIMIT_BYTES)
        app.router.add_route("*", BASE + "/{path:.*}", NodeApi(self._live, node).answer)
        runner = web.AppRunner(app, keepalive_timeout=KEEPALIVE_S, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, host, port, ssl_context=self._tls, reuse_address=True).start()
        return runner

    async def close(self) -> None:
        for runner in self._runners.values():
            await runner.cleanup()


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    folder = settings.state.parent
    pem, key = certificate.ensure(folder, (host for host, _port in settings.listen))
    live = LiveCluster(load_cluster(settings, time.time()), settings.state)
    listeners = Listeners(live, settings.listen, certificate.context(pem, key))
    settings.control.unlink(missing_ok=True)
    runner = web.AppRunner(
        control.application(live, pem, listeners.match_nodes), access_log=None, shutdown_timeout=0.1
    )
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with asyncio.TaskGroup() as tasks:
        ticking = tasks.create_task(live.tick())
        await listeners.match_nodes()
        await runner.setup()
        await web.UnixSite(runner, str(settings.control)).start()
        if settings.pid_file is not None:
            settings.pid_file.write_text(f"{os.getpid()}\n")
        await stopped.wait()
        await listeners.close()
        await runner.cleanup()
        ticking.cancel()
    settings.control.unlink(missing_ok=True)
    if settings.pid_file is not None:
        settings.pid_file.unlink(missing_ok=True)


def main() -> None:
    asyncio.run(serve(settings_of(sys.argv[1:])))


if __name__ == "__main__":
    main()
