"""What a load balancer needs of HAProxy and of its server-state files."""

from pathlib import Path
from typing import Protocol

from crds.balancer import ServerState
from reconcilers.servers import Node, NodeDown


class BalancerClient(Protocol):
    """Looks at all nodes, sets weights and states, keeps state files; ``HaproxyEndpoints`` is one."""

    async def look(self, endpoint: str) -> tuple[Node | NodeDown, ...]:
        """Look at all nodes; TransientError if none answers."""
        ...

    async def set_weight(self, endpoint: str, socket: str, backend: str, server: str, weight: int) -> None:
        """Set an absolute weight."""
        ...

    async def set_state(
        self, endpoint: str, socket: str, backend: str, server: str, state: ServerState
    ) -> None:
        """Set an administrative state."""
        ...

    def state_file(self, endpoint: str, socket: str) -> Path | None:
        """Return where the node's server-state file is, None if it has none here."""
        ...

    async def server_states(self, endpoint: str, socket: str) -> str:
        """Return ``show servers state`` of a node."""
        ...

    async def read_state_file(self, path: Path) -> str | None:
        """Return what a server-state file holds, None if there is none."""
        ...

    async def write_state_file(self, path: Path, text: str) -> None:
        """Replace a server-state file."""
        ...
