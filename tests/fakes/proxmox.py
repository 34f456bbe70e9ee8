"""Proxmox for tests: the lab's simulator as a transport, and as a process that serves real HTTPS."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final, Self

import aiohttp

from lab.pve.cluster import PveCluster
from lab.pve.faults import Fault
from lab.pve.message import Auth, Outcome, Request, Response
from lab.pve.setup import AclSetup, Setup, TemplateSetup, TokenSetup, apply
from reconcilers.contract import NotSentError, TransientError
from reconcilers.transports.proxmox import NOTHING, ApiPath, Json, Method, ProxmoxTransport
from reconcilers.transports.proxmox_errors import NodeSilentError, Refusal, classify

USER: Final = "psa@pve"
TOKEN_NAME: Final = "daemon"
SECRET: Final = "11111111-2222-3333-4444-555555555555"
TEMPLATES: Final = ("debian-12-standard_12.7-1_amd64.tar.zst", "debian-12-standard_12.9-1_amd64.tar.zst")
#: What the daemon's token may do, and no more (research/reliability.md §3.4).
PRIVILEGES: Final = (
    *("VM.Allocate", "VM.Audit", "VM.PowerMgmt", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Disk"),
    *("VM.Config.Network", "VM.Config.Options", "Datastore.AllocateSpace", "Datastore.Audit", "SDN.Use"),
    "Sys.Audit",
)
SETUP: Final = Setup(
    templates=tuple(TemplateSetup("local", name) for name in TEMPLATES),
    bridges=("vmbr1",),
    users={USER: ""},
    roles={"PSAReconciler": PRIVILEGES},
    tokens=(TokenSetup(USER, TOKEN_NAME, SECRET, privsep=False),),
    acl=(AclSetup(USER, "/", "PSAReconciler"),),
)


class FakeProxmox:
    """A transport that asks the simulator's core directly. ``asked`` is each request, in order."""

    def __init__(self, cluster: PveCluster, now: Callable[[], float]) -> None:
        self.cluster = cluster
        self.asked: list[tuple[str, str]] = []
        self._now = now
        self._auth = Auth(authorization=f"PVEAPIToken={USER}!{TOKEN_NAME}={SECRET}")

    @property
    def token_id(self) -> str:
        return f"{USER}!{TOKEN_NAME}"

    @property
    def writes(self) -> list[tuple[str, str]]:
        """Return what would have changed something."""
        return [asked for asked in self.asked if asked[0] != "GET"]

    async def read(self, path: ApiPath, params: Mapping[str, str] = NOTHING) -> Json:
        failure: TransientError = NotSentError("no host")
        for node in self.cluster.world.nodes:
            try:
                return await self._call("GET", path, params, node)
            except NodeSilentError as exc:
                failure = exc
            except _NoAnswerError as exc:
                failure = failure if isinstance(failure, NodeSilentError) else exc
        raise failure

    async def write(self, method: Method, path: ApiPath, params: Mapping[str, str] = NOTHING) -> Json:
        failure: TransientError = NotSentError("no host")
        for node in self.cluster.world.nodes:
            try:
                return await self._call(method, path, params, node)
            except _UnreachableError as exc:
                failure = exc
        raise failure

    async def _call(self, method: str, path: ApiPath, params: Mapping[str, str], node: str) -> Json:
        where = "/" + "/".join(path)
        self.asked.append((method, where))
        request = Request(method, where, dict(params), self._auth, via_node=node)
        response = self.cluster.handle(request, self._now())
        if response.delay_s:
            await asyncio.sleep(response.delay_s)
        if response.outcome is Outcome.REFUSED:
            raise _UnreachableError(f"{method} {where}: connection refused")
        if response.outcome is Outcome.LOST or response.raw:
            raise _NoAnswerError(f"{method} {where}: no usable answer")
        if response.status >= 400:
            raise classify(_refusal(method, where, response))
        # Through JSON, as over the wire: tuples and the like must not reach the parser.
        answer: Json = json.loads(json.dumps(response.data))
        return answer


class _NoAnswerError(TransientError):
    pass


class _UnreachableError(_NoAnswerError, NotSentError):
    pass


def _refusal(method: str, path: str, response: Response) -> Refusal:
    body = response.body or {}
    fields = body.get("errors") or {}
    assert isinstance(fields, Mapping)
    return Refusal(
        method=method,
        path=path,
        status=response.status,
        reason=response.reason,
        message=str(body.get("message") or ""),
        fields={str(key): str(value) for key, value in fields.items()},
    )


def a_cluster(now: float, *, version: str = "8.4", time_scale: float = 1.0) -> PveCluster:
    """Return a cluster of three nodes with our token, templates and bridges, and no containers."""
    cluster = PveCluster(version=version, start=now, time_scale=time_scale)
    apply(cluster, SETUP)
    return cluster


class PveServer:
    """The simulator as a process of its own, with real TLS; a context manager."""

    def __init__(self, folder: Path, *, version: str = "8.4", time_scale: float = 0.05) -> None:
        ports = _free_ports(3)
        self.urls = [f"https://127.0.0.1:{port}" for port in ports]
        self._control = folder / "pve.sock"
        listening = [word for port in ports for word in ("--listen", f"127.0.0.1:{port}")]
        self._argv = [
            *(sys.executable, "-m", "lab.pve.server", "--state", str(folder / "pve.json")),
            *("--control", str(self._control), "--time-scale", str(time_scale), "--version", version),
            *listening,
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.fingerprint = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._argv)
        deadline = time.monotonic() + 20
        while not self._control.exists():
            assert self._process.poll() is None, "the simulator ended"
            assert time.monotonic() < deadline, "the simulator does not listen"
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(20)

    async def prepare(self) -> None:
        """Put token, templates and bridges into it."""
        await self.control("POST", "/setup", asdict(SETUP))
        state = await self.control("GET", "/state")
        assert isinstance(state, dict)
        self.fingerprint = str(state["fingerprint"])

    def transport(self, *, deadline_s: float = 10.0) -> ProxmoxTransport:
        """Return a transport to all nodes, to be closed by the caller."""
        token = f"{USER}!{TOKEN_NAME}={SECRET}"
        return ProxmoxTransport("pve", self.urls, token, fingerprint=self.fingerprint, deadline_s=deadline_s)

    async def control(self, method: str, path: str, body: object = None) -> Json:
        """Ask the control socket."""
        connector = aiohttp.UnixConnector(str(self._control))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, f"http://pve{path}", json=body) as answer,
        ):
            answer.raise_for_status()
            document: Json = await answer.json()
            return document

    async def fault(self, fault: Fault) -> None:
        """Switch a fault on."""
        await self.control("POST", "/fault", asdict(fault))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
