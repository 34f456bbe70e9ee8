"""The daemon's UNIX socket: who may open it, and who is at the other end."""

import contextlib
import grp
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Final

import structlog

log = structlog.stdlib.get_logger()

_PEER: Final = struct.Struct("3i")


def listen_unix(path: Path, group: str) -> socket.socket:
    """Return the bound socket: 0660, of *group* if the machine has it; OSError if something is in the way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _make_way(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o117)  # never open to others, not even for a moment
    try:
        listener.bind(str(path))
    except OSError as exc:
        listener.close()
        raise OSError(exc.errno, f"{path}: {exc.strerror or exc}") from None
    finally:
        os.umask(before)
    _give_to(path, group)
    return listener


def let_go(path: Path) -> None:
    """Remove the socket, so that its absence tells that no daemon runs."""
    path.unlink(missing_ok=True)


def peer_uid(connection: socket.socket) -> int:
    """Return the user at the other end of a UNIX socket, by the kernel's word."""
    _, uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(uid)


def _make_way(path: Path) -> None:
    """Remove a socket that a dead daemon left; never anything else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(f"{path}: something that is no socket is in the way")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            return
        except OSError as exc:
            # Too busy to answer is alive, too.
            raise OSError(f"{path}: another daemon may answer there: {exc.strerror or exc}") from None
    raise OSError(f"{path}: another daemon answers there")


def _give_to(path: Path, group: str) -> None:
    """Let the group in. Under systemd the socket belongs to it from the start, and chown is forbidden."""
    try:
        number = grp.getgrnam(group).gr_gid
    except KeyError:
        log.info("socket.private", path=str(path), reason=f"this machine has no group {group}")
        return
    if path.stat().st_gid == number:
        return
    try:
        os.chown(path, -1, number)
    except PermissionError:
        reason = f"the daemon's user is no member of {group}: only root and it can use psactl"
        log.warning("socket.private", path=str(path), reason=reason)
