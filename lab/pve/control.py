"""The control socket: HTTP and JSON on a UNIX socket, for the lab and for tests.

| request | what it does |
|---|---|
| GET /state | containers, running containers, templates, nodes, faults, certificate |
| GET /running?since=N&timeout=S | waits until the running version is not N; containers that run |
| GET /log?since=N | requests answered after number N |
| POST /setup | `lab.pve.setup.Setup` |
| DELETE /templates/{storage}/{name} | a template is gone |
| POST /fault | one of `lab.pve.faults`, answers its number |
| DELETE /faults, DELETE /faults/{number} | all faults, one fault |
| POST /container/{vmid}/stop-by-hand, start-by-hand, unlock | what an operator does on the node |
| POST /container/{vmid}/edit-by-hand | `{"key": …, "text": …}` into the configuration file |
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from aiohttp import web

from lab.pve import certificate, faults, setup
from lab.pve.live import LiveCluster
from lab.pve.message import Json

LONGEST_WAIT_S: Final = 60.0


def application(
    live: LiveCluster, certificate_file: Path, on_change: Callable[[], Awaitable[None]]
) -> web.Application:
    """Build the control server; *on_change* is awaited after faults and setup changed."""
    control = _Control(live, certificate_file, on_change)
    app = web.Application()
    app.add_routes(
        [
            web.get("/state", control.state),
            web.get("/running", control.running),
            web.get("/log", control.log),
            web.post("/setup", control.setup),
            web.delete("/templates/{storage}/{name}", control.remove_template),
            web.post("/fault", control.add_fault),
            web.delete("/faults", control.clear_faults),
            web.delete("/faults/{number}", control.remove_fault),
            web.post("/container/{vmid}/{action}", control.act),
        ]
    )
    return app


class _Control:
    def __init__(
        self, live: LiveCluster, certificate_file: Path, on_change: Callable[[], Awaitable[None]]
    ) -> None:
        self._live = live
        self._certificate = certificate_file
        self._on_change = on_change

    def _running(self) -> list[Json]:
        return [asdict(container) for container in self._live.cluster.running()]

    async def state(self, _request: web.Request) -> web.Response:
        cluster = self._live.cluster
        containers = [
            asdict(container) | {"running": container.running} for container in cluster.containers()
        ]
        return web.json_response(
            {
                "version": cluster.world.version,
                "running_version": cluster.running_version,
                "running": self._running(),
                "containers": containers,
                "templates": list(cluster.templates()),
                "nodes": {name: node.down_since is None for name, node in cluster.world.nodes.items()},
                "quorate": cluster.world.quorate,
                "faults": [dict(active.described()) for active in cluster.faults.active],
                "certificate": str(self._certificate),
                "fingerprint": certificate.fingerprint(self._certificate),
            }
        )

    async def running(self, request: web.Request) -> web.Response:
        timeout_s = min(float(request.query.get("timeout", "30")), LONGEST_WAIT_S)
        await self._live.wait_running(int(request.query.get("since", "-1")), timeout_s)
        version = self._live.cluster.running_version
        return web.json_response({"version": version, "running": self._running()})

    async def log(self, request: web.Request) -> web.Response:
        since = int(request.query.get("since", "0"))
        return web.json_response([asdict(entry) for entry in self._live.requests if entry.number > since])

    async def setup(self, request: web.Request) -> web.Response:
        try:
            wanted = setup.from_json(await request.json())
            self._live.change(lambda _now: setup.apply(self._live.cluster, wanted))
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        await self._on_change()
        return web.json_response({})

    async def remove_template(self, request: web.Request) -> web.Response:
        volid = f"{request.match_info['storage']}:vztmpl/{request.match_info['name']}"
        if not self._live.change(lambda _now: self._live.cluster.remove_template(volid)):
            raise web.HTTPNotFound(text=f"no template {volid}")
        return web.json_response({})

    async def add_fault(self, request: web.Request) -> web.Response:
        try:
            fault = faults.from_json(await request.json())
            number = self._live.change(lambda now: self._live.cluster.add_fault(fault, now))
        except (ValueError, KeyError) as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        await self._on_change()
        return web.json_response({"number": number})

    async def clear_faults(self, _request: web.Request) -> web.Response:
        self._live.change(self._live.cluster.clear_faults)
        await self._on_change()
        return web.json_response({})

    async def remove_fault(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        known = self._live.change(lambda now: self._live.cluster.remove_fault(number, now))
        if not known:
            raise web.HTTPNotFound(text=f"no fault {number}")
        await self._on_change()
        return web.json_response({})

    async def act(self, request: web.Request) -> web.Response:
        cluster, vmid = self._live.cluster, int(request.match_info["vmid"])
        if cluster.container(vmid) is None:
            raise web.HTTPNotFound(text=f"no container {vmid}")
        match request.match_info["action"]:
            case "stop-by-hand":
                self._live.change(lambda now: cluster.stop_by_hand(vmid, now))
            case "start-by-hand":
                self._live.change(lambda now: cluster.start_by_hand(vmid, now))
            case "unlock":
                self._live.change(lambda _now: cluster.unlock(vmid))
            case "edit-by-hand":
                edit = await request.json()
                self._live.change(
                    lambda _now: cluster.edit_by_hand(vmid, str(edit["key"]), str(edit["text"]))
                )
            case action:
                raise web.HTTPNotFound(text=f"no action {action}")
        return web.json_response({})
