"""All HAProxy endpoints of the settings by name, with the server-state files that lie on this machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from crds.balancer import ServerState
from reconcilers.contract import PermanentError
from reconcilers.counters import CountedNode
from reconcilers.servers import Node, NodeDown
from reconcilers.transports.haproxy import HaproxyTransport
from reconcilers.transports.haproxy_state_file import read_state_file, write_state_file


class HaproxyEndpoints:
    """What the kinds need of HAProxy; each kind's ``client.py`` names its part. Errors as there."""

    def __init__(
        self,
        transports: Mapping[str, HaproxyTransport],
        *,
        state_files: Mapping[str, Sequence[Path]] | None = None,
    ) -> None:
        """Take a transport for each endpoint; *state_files* has one file for each of its sockets, or none."""
        self._transports = transports
        self._state_files = {
            name: dict(zip(transports[name].sockets, files, strict=True))
            for name, files in (state_files or {}).items()
            if files
        }

    async def look(self, endpoint: str, backend: str | None = None) -> tuple[Node | NodeDown, ...]:
        """Look at all nodes, at one backend or at all; TransientError if none answers."""
        return await self._transport(endpoint).look(backend)

    async def count(self, endpoint: str, backend: str) -> tuple[CountedNode | NodeDown, ...]:
        """Read the counters of a backend's servers on all nodes; TransientError if none answers."""
        return await self._transport(endpoint).count(backend)

    async def set_weight(self, endpoint: str, socket: str, backend: str, server: str, weight: int) -> None:
        """Set an absolute weight, 0 to 256."""
        await self._transport(endpoint).set_weight(socket, backend, server, weight)

    async def set_state(
        self, endpoint: str, socket: str, backend: str, server: str, state: ServerState
    ) -> None:
        """Set an administrative state."""
        await self._transport(endpoint).set_state(socket, backend, server, state)

    def state_file(self, endpoint: str, socket: str) -> Path | None:
        """Return where the node's server-state file is, None if it has none here."""
        return self._state_files.get(endpoint, {}).get(socket)

    async def server_states(self, endpoint: str, socket: str) -> str:
        """Return ``show servers state`` of a node."""
        return await self._transport(endpoint).server_states(socket)

    async def read_state_file(self, path: Path) -> str | None:
        """Return what a server-state file holds, None if there is none."""
        return await read_state_file(path)

    async def write_state_file(self, path: Path, text: str) -> None:
        """Replace a server-state file."""
        await write_state_file(path, text)

    def _transport(self, endpoint: str) -> HaproxyTransport:
        found = self._transports.get(endpoint)
        if found is None:
            words = f"the settings have no HAProxy endpoint {endpoint}"
            raise PermanentError(words, reason="UnknownEndpoint")
        return found
