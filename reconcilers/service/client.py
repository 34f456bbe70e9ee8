"""What a service needs of HAProxy: a look."""

from typing import Protocol

from reconcilers.servers import Node, NodeDown


class ServiceClient(Protocol):
    """Looks at one backend on all nodes; ``HaproxyEndpoints`` is one."""

    async def look(self, endpoint: str, backend: str) -> tuple[Node | NodeDown, ...]:
        """Look at all nodes; TransientError if none answers."""
        ...
