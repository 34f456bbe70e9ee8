"""One authenticated, verified request on its way to the function that answers it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from lab.pve import access, formats, tasks
from lab.pve.access import Identity
from lab.pve.message import Json
from lab.pve.state import Container, World


@dataclass(slots=True)
class Call:
    """*node* is the node of the path, *via_node* the one that took the request.

    *delay_s* grows when the call has to wait for a lock; *total* is the size of a list that was cut.
    """

    world: World
    params: dict[str, str]
    who: Identity
    now: float
    node: str
    via_node: str
    delay_s: float = 0.0
    total: int | None = None

    @property
    def vmid(self) -> int:
        return int(self.params["vmid"])

    def container(self) -> Container:
        """Return the container of the path.

        Raises: ApiError 500, the text for a missing configuration file.
        """
        return self.world.load(self.vmid, self.node)

    def flag(self, name: str) -> bool:
        return self.params.get(name) == "1"

    def names(self, name: str) -> list[str]:
        return formats.split_list(self.params.get(name, ""))

    def start_task(self, kind: str, *, extra_s: float = 0.0, **params: str) -> str:
        """Fork a worker on the path's node for the path's container; returns the UPID."""
        plan = tasks.Plan(kind, self.vmid, self.params | params, self.node, self.who.name, extra_s)
        return tasks.start(self.world, plan, self.now).upid

    def may(self, path: str, *wanted: str) -> bool:
        return access.has(self.world, self.who, path, *wanted)


Handler: TypeAlias = Callable[[Call], Json]
