"""What a traffic split needs of HAProxy."""

from typing import Protocol

from crds.balancer import ServerState
from reconcilers.servers import Node, NodeDown


class SplitClient(Protocol):
    """Looks at one backend on all nodes, and sets weights and states; ``HaproxyEndpoints`` is one."""

    async def look(self, endpoint: str, backend: str) -> tuple[Node | NodeDown, ...]:
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
