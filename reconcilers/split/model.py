"""What a look at a traffic split gives."""

from dataclasses import dataclass

from reconcilers.servers import Node, NodeDown


@dataclass(frozen=True, slots=True)
class SeenSplit:
    """All nodes of the pair with the split's backend, as far as they answered; at least one did."""

    nodes: tuple[Node | NodeDown, ...]
