"""What a hook may do inside the daemon's unit: each thing is tried. Prints a JSON object: name, result."""

import ctypes
import errno
import json
import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

_CLONE_NEWUSER: Final = 0x1000_0000
_PTRACE_ATTACH: Final = 16
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def _write(path: str) -> Callable[[], None]:
    def attempt() -> None:
        with Path(path).open("a") as file:
            file.write("# a hook was here\n")

    return attempt


def _read(path: str) -> Callable[[], bytes]:
    return lambda: Path(path).read_bytes()


def _names(path: str, *beginnings: str) -> Callable[[], list[str]]:
    return lambda: sorted(
        each.name for each in Path(path).iterdir() if each.name.startswith(beginnings or "")
    )


def _socket(family: int, kind: int) -> Callable[[], None]:
    return lambda: socket.socket(family, kind).close()


def _call(name: str, *arguments: object) -> Callable[[], None]:
    def attempt() -> None:
        if getattr(_LIBC, name)(*arguments) == -1:
            raise OSError(ctypes.get_errno(), name)

    return attempt


def _run(*argv: str) -> Callable[[], str]:
    def attempt() -> str:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

    return attempt


def _make_setuid() -> None:
    path = Path(os.environ["HOME"]) / "shell"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o4755)


def _map_writable_code() -> None:
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def _connect() -> None:
    host, port = sys.argv[1].rsplit(":", 1)
    socket.create_connection((host, int(port)), timeout=3).close()


_TRIES: Final[Mapping[str, Callable[[], object]]] = {
    "write the watched directory": _write("/etc/psa-reconciler/desired.d/evil.yaml"),
    "write the settings": _write("/etc/psa-reconciler/config.yaml"),
    "write its own program": _write("/opt/psa-reconciler/current/venv/bin/psa-reconciler"),
    "write a program on PATH": _write("/usr/local/bin/evil"),
    "write beside the state": _write("/var/lib/evil"),
    "write /run": _write("/run/evil"),
    "write where everybody may": _write("/srv/everybody/evil"),
    "write the kernel's settings": _write("/proc/sys/kernel/core_pattern"),
    "read passwords": _read("/etc/shadow"),
    "read the token's file": _read("/etc/psa-reconciler/credentials/pve.token"),
    "list /home": _names("/home"),
    "list /root": _names("/root"),
    "list others' /tmp": _names(os.environ["TMPDIR"]),
    "see disks": _names("/dev", "sd", "vd", "nvme", "mem", "kmsg"),
    "see the first process": _read("/proc/1/cmdline"),
    "become root": lambda: os.setuid(0),
    "run a setuid program": _run("/usr/local/bin/setuid-id", "-u"),
    "make a setuid program": _make_setuid,
    "give a file away": lambda: os.chown(os.environ["HOME"], 0, 0),
    "mount": _call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
    "make a user namespace": _call("unshare", _CLONE_NEWUSER),
    "trace a process": _call("ptrace", _PTRACE_ATTACH, os.getppid(), 0, 0),
    "open a raw packet socket": _socket(socket.AF_PACKET, socket.SOCK_RAW),
    "open a netlink socket": _socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "map writable code": _map_writable_code,
    "raise its priority": lambda: os.nice(-5),
    "write its home": _write(f"{os.environ['HOME']}/note"),
    "write its /tmp": _write(f"{os.environ['TMPDIR']}/note"),
    "read a credential": _read("/run/credentials/psa-reconciler.service/psa_pve.token"),
    "connect over TCP": _connect,
    "resolve a name": lambda: socket.gethostbyname("localhost"),
    "run a program of PATH": _run("sh", "-c", "command -v env"),
}


def _outcome(attempt: Callable[[], object]) -> object:
    try:
        found = attempt()
    except OSError as exc:  # those of getaddrinfo have numbers of their own
        return errno.errorcode.get(exc.errno or 0, str(exc))
    return found if isinstance(found, str | list) else "allowed"


if __name__ == "__main__":
    sys.stdout.write(json.dumps({name: _outcome(attempt) for name, attempt in _TRIES.items()}) + "\n")
