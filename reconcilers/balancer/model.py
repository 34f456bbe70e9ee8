"""What a look at a load balancer gives, and what may be done to it."""

from dataclasses import dataclass
from typing import Final

from reconcilers.servers import Command, Node, NodeDown

#: Columns of ``show servers state`` that move by themselves. srv_op_state stays in: a server that is UP and
#: DOWN in the file would begin the next process without traffic.
_VOLATILE: Final = frozenset(
    {
        "srv_time_since_last_change",
        "srv_check_status",
        "srv_check_result",
        "srv_check_health",
        "srv_check_state",
        "srv_agent_state",
    }
)


@dataclass(frozen=True, slots=True)
class StateFile:
    """A node's server-state file beside what the node itself says, both without what moves by itself.

    ``found`` is None if there is no file; ``trouble`` says why it could not be read.
    """

    socket: str
    path: str
    wanted: str
    found: str | None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class SeenBalancer:
    """All nodes, as far as they answered, and their server-state files; at least one answered."""

    nodes: tuple[Node | NodeDown, ...]
    files: tuple[StateFile, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteStateFile:
    """Replace a node's server-state file with what the node says then."""

    endpoint: str
    socket: str
    path: str


BalancerAction = Command | WriteStateFile


def lasting(states: str) -> str:
    """Return ``show servers state`` without the columns that move by themselves; any text is taken."""
    rows = [line.split(" ") for line in states.splitlines() if line.strip()]
    header = next((row[1:] for row in rows if row[0] == "#"), [])
    kept = [number for number, column in enumerate(header) if column not in _VOLATILE]
    lines = (row[1:] if row[0] == "#" else row for row in rows)
    return "\n".join(
        " ".join(row[number] for number in kept) if len(row) == len(header) else " ".join(row)
        for row in lines
    )
