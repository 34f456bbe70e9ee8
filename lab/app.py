"""``python -m lab.app``: the application of every running container of a service, in one process."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from pydantic import BaseModel, ConfigDict

from crds.service import Color
from lab.app_faults import ALL, DatabaseFault, InForce, Rule
from lab.control import ControlError, call, serve
from lab.conversation import Conversation, Serving
from lab.database import Database
from lab.peers import Address, Peers
from lab.site import Site
from lab.slots import Slot, read_services, slots_of, version_of

_HOLD_S: Final = 10.0
_RETRY_S: Final = 0.1


class RunningContainer(BaseModel):
    """One entry of the simulator's ``/running``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    vmid: int
    hostname: str
    ostemplate: str
    started_at: float = 0.0


class Running(BaseModel):
    """The simulator's answer to ``/running?since=N``; ``version`` grows with every start and stop."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int
    running: tuple[RunningContainer, ...]


@dataclass(slots=True)
class Listening:
    """A site that runs; ``server`` is absent while it refuses connections or could not bind."""

    serving: Serving
    server: asyncio.Server | None = None
    error: str | None = None

    @property
    def site(self) -> Site:
        """The application."""
        return self.serving.site


class Applications:
    """All sites of the lab, kept equal to the containers that run."""

    def __init__(
        self,
        desired: Path,
        *,
        example: Path | None = None,
        faults: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take services from *desired*; *example* has further names that a fault may be ordered for.

        *faults* is the file in which faults outlive this process.
        """
        self._desired = desired
        self._example = example
        self._file = faults
        self._clock = clock
        self._slots: dict[int, Slot] = {}
        self._addresses: dict[tuple[str, Color], Address] = {}
        """Where each colour of a service is, whether or not it runs."""
        self._open: dict[int, Listening] = {}
        self._database = Database()
        self._in_force = InForce()
        self._changing = asyncio.Lock()
        """Held while sites are opened, closed or told their faults."""
        if faults is not None and faults.exists():
            self._in_force = InForce.model_validate_json(faults.read_bytes())
            self._database.fault = self._in_force.database
        self.version = -1

    async def follow(self, running: Running) -> None:
        """Open what runs now and close what does not."""
        async with self._changing:
            await self._follow(running)

    async def _follow(self, running: Running) -> None:
        self._slots |= slots_of(await asyncio.to_thread(read_services, self._desired))
        self._addresses = {(s.service, s.color): (s.host, s.port) for s in self._slots.values()}
        wanted = {entry.vmid: entry for entry in running.running if entry.vmid in self._slots}
        for ctid in [
            ctid for ctid, there in self._open.items() if not _is_same(there.site, wanted.get(ctid))
        ]:
            await self._close(ctid)
        for ctid, entry in wanted.items():
            if ctid not in self._open:
                self._open[ctid] = self._listening(self._slots[ctid], entry)
            await self._obey(self._open[ctid])
        self.version = running.version

    async def order(self, body: object) -> object:
        """Take a rule; return how many running sites it concerns. ValueError if there is no such service.

        A rule without a fault ends all that it includes.
        """
        rule = Rule.model_validate(body)
        if rule.service != ALL:
            await self._check_known((rule.service,))
        async with self._changing:
            await self._enforce(self._in_force.with_rule(rule))
        concerned = [there for there in self._open.values() if rule.concerns(*_scope_of(there.site))]
        return {"sites": len(concerned), "inForce": [str(each) for each in self._in_force.rules]}

    async def order_database(self, body: object) -> object:
        """Let the shared database be as ordered. ValueError if a service is not there."""
        fault = DatabaseFault.model_validate(body)
        await self._check_known(fault.services)
        async with self._changing:
            await self._enforce(self._in_force.model_copy(update={"database": fault}))
        return {"database": fault.model_dump(exclude_defaults=True)}

    async def clear(self, _body: object) -> object:
        """End all faults of applications and of their database."""
        self._database.give_back_all()
        async with self._changing:
            await self._enforce(InForce())
        return {}

    async def counts(self, _body: object) -> object:
        """Return what each site served, by status, and whether it listens; and the faults in force."""
        database = self._in_force.database.model_dump(exclude_defaults=True)
        return {
            "version": self.version,
            "sites": [_described(ctid, there) for ctid, there in sorted(self._open.items())],
            "faults": [str(rule) for rule in self._in_force.rules],
            "database": database | ({"kept": self._database.kept} if self._database.kept else {}),
        }

    async def close(self) -> None:
        """Close everything."""
        for ctid in tuple(self._open):
            await self._close(ctid)

    async def _check_known(self, names: tuple[str, ...]) -> None:
        known = {slot.service for slot in self._slots.values()}
        for folder in (self._desired, self._example):
            if folder is not None and not known >= set(names):
                known |= set(await asyncio.to_thread(read_services, folder))
        for name in names:
            if name not in known:
                raise ValueError(f"no service {name}; there is {', '.join(sorted(known))}")

    async def _enforce(self, in_force: InForce) -> None:
        self._in_force = in_force
        self._database.fault = in_force.database
        if self._file is not None:
            await asyncio.to_thread(_write, self._file, in_force)
        for there in tuple(self._open.values()):
            await self._obey(there)

    def _listening(self, slot: Slot, entry: RunningContainer) -> Listening:
        site = Site(
            slot,
            hostname=entry.hostname,
            version=version_of(entry.ostemplate, slot.template),
            started_at=entry.started_at or self._clock(),
            database=self._database,
            knows=lambda peer: (peer, slot.color) in self._addresses,
        )
        peers = Peers(lambda peer: self._addresses.get((peer, slot.color)))
        return Listening(Serving(site, peers, self._clock))

    async def _obey(self, there: Listening) -> None:
        site = there.site
        site.faults = self._in_force.faults_of(*_scope_of(site))
        if site.refuses and there.server is not None:
            there.server.close()
            there.server = None
            there.serving.abort()
        if not site.refuses and there.server is None:
            await self._listen(there)

    async def _listen(self, there: Listening) -> None:
        slot = there.site.slot
        loop = asyncio.get_running_loop()
        try:
            there.server = await loop.create_server(
                lambda: Conversation(there.serving), slot.host, slot.port, backlog=1024
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
        there.serving.abort()
        self._database.give_back(ctid)


def _scope_of(site: Site) -> tuple[str, str, str]:
    return site.slot.service, site.slot.color.value, site.version


def _is_same(site: Site, entry: RunningContainer | None) -> bool:
    """Whether it is still that very run of that container."""
    return entry is not None and (
        site.hostname == entry.hostname
        and site.version == version_of(entry.ostemplate, site.slot.template)
        and entry.started_at in {0.0, site.started_at}
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
        "faults": [fault.model_dump(exclude_defaults=True) for fault in there.site.faults],
        "answers": dict(sorted(there.site.counts.items())),
    }


def _write(path: Path, in_force: InForce) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(in_force.model_dump_json(exclude_defaults=True) + "\n")
    draft.replace(path)


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


async def serve_applications(applications: Applications, simulator: Path, socket: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    routes = {
        ("GET", "/lab/counts"): applications.counts,
        ("POST", "/lab/fault"): applications.order,
        ("POST", "/lab/database"): applications.order_database,
        ("DELETE", "/lab/faults"): applications.clear,
    }
    async with await serve(socket, routes), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(_keep_following(applications, simulator))
        await stopping.wait()
        following.cancel()
    await applications.close()
    with contextlib.suppress(FileNotFoundError):
        await asyncio.to_thread(socket.unlink)


_FILE = click.Path(path_type=Path)


@click.command()
@click.option("--desired", type=_FILE, required=True, help="Folder of the service files.")
@click.option("--simulator", type=_FILE, required=True, help="Its control socket.")
@click.option("--socket", type=_FILE, required=True, help="Our own control socket.")
@click.option("--example", type=_FILE, help="Folder of services that may come.")
@click.option("--faults", type=_FILE, help="File in which faults outlive this process.")
def main(desired: Path, simulator: Path, socket: Path, example: Path | None, faults: Path | None) -> None:
    """Serve the applications of all running containers."""
    asyncio.run(serve_applications(Applications(desired, example=example, faults=faults), simulator, socket))


if __name__ == "__main__":
    main()
