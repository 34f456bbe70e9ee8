"""The daemon's side of the parser child: one file at a time, a second each, whatever the file."""

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import structlog

from daemon.sources.listing import UnreadableError
from daemon.sources.nodes import LARGEST_FILE
from daemon.sources.syntax import Fault
from daemon.sources.tree import Parsed, TreeError, parse_here, parsed_from

log = structlog.stdlib.get_logger()

_LENGTH_BYTES: Final = 4
_LARGEST_REPLY: Final = 32 * 1024 * 1024
#: To make nodes of a larger one takes longer than the loop should wait: half a second for the largest files.
_SMALL_REPLY: Final = 64 * 1024
_SPLIT: Final = "split the file, or take out what is unusual in it"


class Parser(Protocol):
    """Turns the bytes of a file into nodes; any bytes have an answer."""

    async def parse(self, data: bytes) -> Parsed:
        """Return the documents or the faults of a file; UnreadableError where no file can be read now."""
        ...

    async def close(self) -> None:
        """End what the parser has started."""
        ...


class InlineParser:
    """Parses in this process, at once: for the simulator."""

    async def parse(self, data: bytes) -> Parsed:
        return parse_here(data)

    async def close(self) -> None:
        """Nothing was started."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """The child went away while it had a file; negative for a signal."""

    returncode: int


class ChildParser:
    """Parses in a child of its own, which is started when it is needed and killed when it is late."""

    def __init__(self, *, deadline_s: float = 1.0) -> None:
        self._deadline_s = deadline_s
        self._child: _Child | None = None
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is none."""
        return self._child.process.pid if self._child is not None else None

    async def parse(self, data: bytes) -> Parsed:
        """Return the documents or the faults of a file; a child that somebody else ended is replaced once."""
        if len(data) > LARGEST_FILE:
            return _faulty(f"the file has {len(data)} bytes: at most {LARGEST_FILE} (256 KiB) are read")
        async with self._turn:
            found = await self._ask(data)
            if isinstance(found, _Ended):
                found = await self._ask(data)
            if isinstance(found, _Ended):
                message = f"the parser ended ({_cause(found.returncode)}) when it read this file"
                return _faulty(message, _SPLIT, is_cut=True)
            return found

    async def close(self) -> None:
        """End the child."""
        async with self._turn:
            await self._end()

    async def _ask(self, data: bytes) -> Parsed | _Ended:
        child, is_late = await self._running(), False
        try:
            async with asyncio.timeout(self._deadline_s):
                reply = await child.exchange(data)
            if len(reply) <= _SMALL_REPLY:
                return parsed_from(reply)
            return await asyncio.to_thread(parsed_from, reply)
        except TimeoutError:
            fault, is_late = f"the parser did not finish this file within {self._deadline_s:g} s", True
        except TreeError as exc:
            fault = str(exc)
        except (asyncio.IncompleteReadError, OSError):
            fault = None
        except asyncio.CancelledError:
            self._kill()  # its answer would be taken for the next file's
            raise
        returncode = await self._end()
        if fault is None:
            log.warning("parser.ended", returncode=returncode)
            return _Ended(returncode)
        log.warning("parser.killed", reason=fault)
        return _faulty(fault, _SPLIT, is_cut=is_late)

    async def _running(self) -> "_Child":
        if self._child is None:
            try:
                self._child = await _Child.start()
            except OSError as exc:
                # No process, memory or descriptor is left: that says nothing of any file.
                raise UnreadableError(f"the parser cannot be started: {exc.strerror}") from exc
        return self._child

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None

    async def _end(self) -> int:
        child = self._child
        self._kill()
        # It has no children of its own, so nothing but it holds its pipes and this returns.
        return await child.process.wait() if child is not None else 0


@dataclass(frozen=True, slots=True)
class _Child:
    """A running parser. It is killed through ``handle``: Popen.kill may take the exit status from asyncio."""

    process: asyncio.subprocess.Process
    requests: asyncio.StreamWriter
    answers: asyncio.StreamReader
    handle: int

    @classmethod
    async def start(cls) -> "_Child":
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "daemon.sources.child", str(os.getpid()),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=_environment(),
        )  # fmt: skip
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both were asked to be pipes")
        try:
            handle = os.pidfd_open(process.pid)
        except OSError:
            process.kill()
            raise
        return cls(process, process.stdin, process.stdout, handle)

    async def exchange(self, data: bytes) -> bytes:
        self.requests.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
        await self.requests.drain()
        length = int.from_bytes(await self.answers.readexactly(_LENGTH_BYTES), "big")
        if length > _LARGEST_REPLY:
            raise TreeError(f"the parser's answer has {length} bytes")
        return await self.answers.readexactly(length)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, signal.SIGKILL)
        os.close(self.handle)


def _environment() -> dict[str, str]:
    """Return as little as Python needs to find this package again; nothing secret."""
    root = Path(__file__).parents[2]
    return {"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(root)}


def _cause(returncode: int) -> str:
    return f"signal {-returncode}" if returncode < 0 else f"exit status {returncode}"


def _faulty(message: str, *notes: str, is_cut: bool = False) -> Parsed:
    return Parsed(faults=(Fault(1, 1, 1, message, notes),), is_cut=is_cut)
