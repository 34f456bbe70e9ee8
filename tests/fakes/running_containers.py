import asyncio
import json
from pathlib import Path


class RunningContainers:
    """The Proxmox simulator's ``/running?since=N`` and nothing else: answers at once, or when it changes."""

    def __init__(self) -> None:
        self._version = 0
        self._running: dict[int, dict[str, object]] = {}
        self._changed = asyncio.Condition()

    async def start(self, vmid: int, hostname: str, template: str) -> None:
        async with self._changed:
            self._running[vmid] = {"vmid": vmid, "hostname": hostname, "ostemplate": template}
            self._version += 1
            self._changed.notify_all()

    async def stop(self, vmid: int) -> None:
        async with self._changed:
            del self._running[vmid]
            self._version += 1
            self._changed.notify_all()

    async def serve(self, socket: Path) -> asyncio.Server:
        return await asyncio.start_unix_server(self._converse, socket)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            since = int(request.split(b" ")[1].partition(b"since=")[2].partition(b"&")[0])
            async with self._changed:
                await self._changed.wait_for(lambda: self._version > since)
                body = json.dumps({"version": self._version, "running": [*self._running.values()]})
            writer.write(f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
