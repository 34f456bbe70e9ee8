"""What a traffic split needs of HAProxy."""

from typing import Protocol

from crds.balancer import ServerState
from reconcilers.counters import CountedNode
from reconcilers.servers import Node, NodeDown


class SplitClient(Protocol):
    """Looks at one backend on all nodes, counts, sets weights and states; ``HaproxyEndpoints`` is one."""

    async def look(self, endpoint: str, backend: str) -> tuple[Node | NodeDown, ...]:
        """Look at all nodes; TransientError if none answers."""
        ...

    async def count(self, endpoint: str, backend: str) -> tuple[CountedNode | NodeDown, ...]:
        """Read the counters of all nodes; TransientError if none answers."""
        ...

    async def set_weight(self, endpoint: str, socket: str, backend: str, server: str, weight: int) -> None:
        """Set an absolute weight."""
        ...

    async def set_state(
        self, endpoint: str, socket: str, backend: str, server: str, state: ServerState
    ) -> None:
        """Set an administrative state."""
        ...
