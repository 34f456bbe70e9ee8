"""Data services as parts of a lab: what a system's module gives, and how its servers are started.

A system has a module: ``lab/postgres.py``, ``lab/redis.py``, ``lab/rabbitmq.py``, ``lab/elasticsearch.py``.
It knows nothing of labs, only a folder and addresses, so that tests use it, too. It has

- ``PACKAGES``, Debian packages (``""`` for none), and ``is_installed()``;
- a frozen dataclass with what is configured before the daemon comes: addresses (HOST:PORT) and passwords;
- a class a server program, made from a folder and that configuration, that is a ``Program``;
- if its server needs them, ``environment`` (all variables beside PATH, LANG and the lab's mark: a server of
  the lab inherits nothing else) and ``complete()`` (see ``Server``).

``lab/data_systems.py`` makes ``Server`` out of these for a lab, with its addresses, passwords and endpoints.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from lab.parts import Parts

#: RabbitMQ takes 4 to 10 s on an idle machine.
READY_S: Final = 60.0


class Program(Protocol):
    """One server program. Its pid is that of ``argv``: no wrapper stays, nothing goes to the background."""

    @property
    def folder(self) -> Path:
        """Where all that it writes lies, and where it runs; it belongs to the user that it runs as."""
        ...

    @property
    def argv(self) -> Sequence[str]:
        """How it is started in the foreground after ``prepare``; begins with ``lab.users.as_user``."""
        ...

    def prepare(self) -> None:
        """Make folder and configuration; blocks. Data that is there stays: it may be started again."""
        ...

    def is_ready(self) -> bool:
        """Whether it takes commands now; answers within 2 s."""
        ...


def _nothing() -> None:
    """Complete a server that is complete as it starts."""


@dataclass(frozen=True, slots=True)
class Server:
    """A program as a part of the lab: ``name`` is that of its pid file, log and ``fault kill``."""

    name: str
    program: Program
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables beside PATH, LANG and the lab's mark."""
    needs: tuple[str, ...] = ()
    """Servers that must be complete before this one is prepared, such as a replica's primary."""
    complete: Callable[[], None] = _nothing
    """What can only be made in a server that runs, such as the daemon's account; it may be made already."""


def start_servers(parts: Parts, servers: Iterable[Server], *, keep_open: tuple[int, ...] = ()) -> None:
    """Prepare and start all that need no other one; they boot while other things are done."""
    for server in servers:
        if not server.needs:
            start_server(parts, server, keep_open=keep_open)


def finish_servers(parts: Parts, servers: Sequence[Server], *, keep_open: tuple[int, ...] = ()) -> None:
    """Start those that need others, listed after them, and wait until all are complete."""
    done: set[str] = set()
    for server in servers:
        for name in server.needs:
            _finish(parts, next(each for each in servers if each.name == name), done)
        if server.needs:
            start_server(parts, server, keep_open=keep_open)
    for server in servers:
        _finish(parts, server, done)


def start_server(parts: Parts, server: Server, *, keep_open: tuple[int, ...] = ()) -> None:
    """Prepare and start one, without waiting for it; what a killed one has left behind is ended first."""
    parts.end(server.name)
    parts.end_below(server.program.folder)
    server.program.prepare()
    parts.start(
        server.name,
        server.program.argv,
        keep_open=keep_open,
        environment=server.environment,
        directory=server.program.folder,
    )


def wait_for_server(parts: Parts, server: Server) -> None:
    """Wait until one that was started is ready, and complete it. PartError if it is not in time."""
    parts.wait_until(server.name, server.program.is_ready, READY_S)
    server.complete()


def _finish(parts: Parts, server: Server, done: set[str]) -> None:
    if server.name not in done:
        wait_for_server(parts, server)
        done.add(server.name)
