"""What a look at a traffic split gives."""

from dataclasses import dataclass

from crds.service import Color
from reconcilers.servers import Node, NodeDown


@dataclass(frozen=True, slots=True)
class SeenSplit:
    """All nodes of the pair with the split's backend, as far as they answered; at least one did."""

    nodes: tuple[Node | NodeDown, ...]
    shelter: Color | None = None
    """The colour that has all traffic although the split may say otherwise: the store takes nothing."""
