"""``python -m lab.app``: the application of every running container of a service, in one process."""

import asyncio
import contextlib
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from pydantic import BaseModel, ConfigDict

from lab.control import ControlError, call, serve
from lab.site import AppFault, Conversation, Site
from lab.slots import Slot, read_services, slots_of, version_of

_HOLD_S: Final = 10.0
_RETRY_S: Final = 0.1


class RunningContainer(BaseModel):
    """One entry of the simulator's ``/running``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    vmid: int
    hostname: str
    ostemplate: str


class Running(BaseModel):
    """The simulator's answer to ``/running?since=N``; ``version`` grows with every start and stop."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int
    running: tuple[RunningContainer, ...]


class FaultOrder(BaseModel):
    """``POST /lab/fault``: what shall be wrong with a service; no colour means both."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: str
    color: str | None = None
    fault: AppFault = AppFault()


@dataclass(slots=True)
class Listening:
    """A site that runs; ``server`` is absent while it refuses connections or could not bind."""

    site: Site
    server: asyncio.Server | None = None
    error: str | None = None


class Applications:
    """All sites of the lab, kept equal to the containers that run."""

    def __init__(self, desired: Path) -> None:
        self._desired = desired
        self._slots: dict[int, Slot] = {}
        self._open: dict[int, Listening] = {}
        self._faults: dict[tuple[str, str], AppFault] = {}
        self.version = -1

    async def follow(self, running: Running) -> None:
        """Open what runs now and close what does not."""
        self._slots |= slots_of(await asyncio.to_thread(read_services, self._desired))
        wanted = {entry.vmid: entry for entry in running.running if entry.vmid in self._slots}
        for ctid in [
            ctid for ctid, there in self._open.items() if not _is_same(there.site, wanted.get(ctid))
        ]:
            await self._close(ctid)
        for ctid, entry in wanted.items():
            if ctid not in self._open:
                slot = self._slots[ctid]
                version = version_of(entry.ostemplate, slot.template)
                self._open[ctid] = Listening(Site(slot, hostname=entry.hostname, version=version))
            await self._obey(self._open[ctid])
        self.version = running.version

    async def order(self, body: object) -> object:
        """Take a fault; return how many running sites it concerns. ValueError if there is no such service."""
        order = FaultOrder.model_validate(body)
        slots = [slot for slot in self._slots.values() if slot.service == order.service]
        chosen = [slot for slot in slots if order.color in {None, slot.color.value}]
        if not chosen:
            known = ", ".join(sorted({slot.service for slot in self._slots.values()}))
            raise ValueError(f"no service {order.service} with colour {order.color}; there is {known}")
        for slot in chosen:
            self._faults[slot.service, slot.color.value] = order.fault
        concerned = [there for there in self._open.values() if there.site.slot in chosen]
        for there in concerned:
            await self._obey(there)
        return {"sites": len(concerned)}

    async def counts(self, _body: object) -> object:
        """Return what each site served, by status, and whether it listens."""
        return {
            "version": self.version,
            "sites": [_described(ctid, there) for ctid, there in sorted(self._open.items())],
        }

    async def close(self) -> None:
        """Close everything."""
        for ctid in tuple(self._open):
            await self._close(ctid)

    async def _obey(self, there: Listening) -> None:
        site = there.site
        site.fault = self._faults.get((site.slot.service, site.slot.color.value), AppFault())
        if site.fault.refuse and there.server is not None:
            there.server.close()
            there.server = None
            site.abort()
        if not site.fault.refuse and there.server is None:
            await self._listen(there)

    async def _listen(self, there: Listening) -> None:
        slot = there.site.slot
        loop = asyncio.get_running_loop()
        try:
            there.server = await loop.create_server(
                lambda: Conversation(there.site), slot.host, slot.port, backlog=1024
            )
            there.error = None
        except OSError as exc:
            if there.error != str(exc):
                print(f"CT {slot.ctid} ({slot.service} {slot.color.value}): {exc}")
            there.error = str(exc)

    async def _close(self, ctid: int) -> None:
        there = self._open.pop(ctid)
        if there.server is not None:
            there.server.close()
        there.site.abort()


def _is_same(site: Site, entry: RunningContainer | None) -> bool:
    return entry is not None and (site.hostname, site.version) == (
        entry.hostname,
        version_of(entry.ostemplate, site.slot.template),
    )


def _described(ctid: int, there: Listening) -> Mapping[str, object]:
    slot = there.site.slot
    return {
        "ctid": ctid,
        "service": slot.service,
        "color": slot.color.value,
        "version": there.site.version,
        "address": f"{slot.host}:{slot.port}",
        "listening": there.server is not None,
        "error": there.error,
        "fault": there.site.fault.model_dump(exclude_defaults=True),
        "answers": {str(status): count for status, count in sorted(there.site.counts.items())},
    }


async def _keep_following(applications: Applications, simulator: Path) -> None:
    while True:
        path = f"/running?since={applications.version}&timeout={_HOLD_S:g}"
        try:
            answer = await call(simulator, "GET", path, timeout_s=_HOLD_S + 20)
        except ControlError:
            # Containers live on without Proxmox's API, and so do their applications.
            await asyncio.sleep(_RETRY_S)
            continue
        await applications.follow(Running.model_validate(answer))


async def serve_applications(desired: Path, simulator: Path, socket: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    applications = Applications(desired)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    routes = {
        ("GET", "/lab/counts"): applications.counts,
        ("POST", "/lab/fault"): applications.order,
    }
    async with await serve(socket, routes), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(_keep_following(applications, simulator))
        await stopping.wait()
        following.cancel()
    await applications.close()
    with contextlib.suppress(FileNotFoundError):
        await asyncio.to_thread(socket.unlink)


@click.command()
@click.option(
    "--desired", type=click.Path(path_type=Path), required=True, help="Folder of the service files."
)
@click.option("--simulator", type=click.Path(path_type=Path), required=True, help="Its control socket.")
@click.option("--socket", type=click.Path(path_type=Path), required=True, help="Our own control socket.")
def main(desired: Path, simulator: Path, socket: Path) -> None:
    """Serve the applications of all running containers."""
    asyncio.run(serve_applications(desired, simulator, socket))


if __name__ == "__main__":
    main()
