"""An address for alerts alone: few connections, fewer of one sender, none that is silent for long."""

import asyncio
import contextlib
import socket
import ssl
from typing import Final

from aiohttp import web

from daemon.ports import Clock

MOST_CONNECTIONS: Final = 512
MOST_OF_ONE: Final = 256
"""Connections of one sender: an Alertmanager has one for each group that it sends at the moment."""
HANDSHAKE_S: Final = 5.0
SILENT_S: Final = 10.0
"""How long a connection may be without a whole request."""
_LINGER_S: Final = 1.0
"""How long a body that nobody wanted is heard out, so that its sender reads the answer."""
_PAUSE_S: Final = 0.1


class AlertListener:
    """Serves the route until cancelled; *listener* is closed then. Without *context* it is plain HTTP."""

    def __init__(
        self, listener: socket.socket, route: web.RouteDef, context: ssl.SSLContext | None, clock: Clock
    ) -> None:
        self._listener = listener
        self._route = route
        self._context = context
        self._clock = clock
        self._greeted: list[str] = []

    async def run(self) -> None:
        """Take connections."""
        app = web.Application()
        app.add_routes([self._route])
        app.on_response_prepare.append(self._say_no_version)
        runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=1.0,
            keepalive_timeout=SILENT_S,
            lingering_time=_LINGER_S,
            auto_decompress=False,
        )
        await runner.setup()
        server = runner.server
        if server is None:
            raise RuntimeError("the runner has no server after its set-up")
        try:
            await self._accept(server)
        finally:
            self._listener.close()
            await runner.cleanup()

    async def _accept(self, server: web.Server) -> None:
        loop = asyncio.get_running_loop()
        self._listener.settimeout(0.0)
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    connection, (host, *_) = await loop.sock_accept(self._listener)
                except OSError:
                    # The client went away, or there are no descriptors left: in both cases life goes on.
                    await self._clock.sleep(_PAUSE_S)
                    continue
                if self._has_room(server, host):
                    self._greeted.append(host)
                    group.create_task(self._greet(server, connection, host))
                else:
                    connection.close()

    def _has_room(self, server: web.Server, host: str) -> bool:
        hosts = [*self._greeted, *(_host(each) for each in server.connections)]
        return len(hosts) < MOST_CONNECTIONS and hosts.count(host) < MOST_OF_ONE

    async def _greet(self, server: web.Server, connection: socket.socket, host: str) -> None:
        loop, deadline_s = asyncio.get_running_loop(), HANDSHAKE_S if self._context is not None else None
        try:
            # Who has no certificate, or is too slow with it, is nobody.
            with contextlib.suppress(OSError):
                await loop.connect_accepted_socket(
                    server, connection, ssl=self._context, ssl_handshake_timeout=deadline_s
                )
        finally:
            self._greeted.remove(host)

    async def _say_no_version(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = "psa-reconciler"


def _host(handler: web.RequestHandler) -> str:
    """Return who is at the other end of an open connection."""
    return handler.peername[0] if handler.peername is not None else ""
