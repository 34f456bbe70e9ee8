"""``python -m lab fault node`` and ``fault storage``: nodes that are away, too little that is left."""

import json
from typing import Final

import click
from pydantic import TypeAdapter, ValidationError

from crds.quantity import MemoryMiB
from lab.control import call_now
from lab.given import with_lab
from lab.layout import Lab
from lab.wiring import NODES

_SIZE: Final[TypeAdapter[int]] = TypeAdapter(MemoryMiB)


class _Size(click.ParamType[int]):
    """An amount in MiB, such as 512Mi or 1Gi."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return _SIZE.validate_python(value)
        except ValidationError:
            self.fail(f"{value!r} is no amount, such as 512Mi or 1Gi", param, ctx)


_NODE: Final = click.Choice(NODES)


@click.command(short_help="Let a Proxmox node be short of memory, or down.")
@click.argument("node", type=_NODE, metavar="NODE")
@click.option("--memory-free", type=_Size(), help="No more memory is free there, such as 1Gi.")
@click.option("--down", is_flag=True, help="It is gone, and its containers with it.")
@with_lab
def node(lab: Lab, node: str, *, memory_free: int | None, down: bool) -> None:
    """Let a Proxmox node be short of memory, or down; print the fault's number, for `fault clear`."""
    if down:
        _put(lab, {"kind": "node_down", "node": node})
    if memory_free is not None:
        _put(lab, {"kind": "memory_short", "node": node, "free_mib": memory_free})
    if not down and memory_free is None:
        raise click.UsageError("what shall be wrong with it? --memory-free SIZE or --down")


@click.command(short_help="Let a storage of Proxmox be short of room.")
@click.argument("storage")
@click.option("--free", type=_Size(), required=True, help="No more is free there, such as 2Gi.")
@click.option("--node", type=_NODE, help="Only on this node.")
@with_lab
def storage(lab: Lab, storage: str, free: int, node: str | None) -> None:
    """Let a storage of Proxmox be short of room; print the fault's number, for `fault clear`."""
    _put(lab, {"kind": "storage_short", "storage": storage, "free_mib": free, "node": node or ""})


def _put(lab: Lab, fault: dict[str, object]) -> None:
    click.echo(json.dumps(call_now(lab.socket("pve"), "POST", "/fault", fault)))
