"""What systemd hears: readiness, status and life, as datagrams of KEY=value lines (sd_notify(3))."""

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Sends to the socket of NOTIFY_SOCKET; without one it says nothing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # "@" stands for the leading zero byte of an abstract socket.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        for_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = environ.get("WATCHDOG_USEC", "") if for_us else ""
        self.watchdog_s = int(usec) / 1e6 if usec.isdecimal() else None
        """Seconds within which systemd wants a sign of life; None if it does not watch."""

    def ready(self, status: str) -> None:
        """Say that the daemon works."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """Set the line that ``systemctl status`` shows."""
        self._send(f"STATUS={text}")

    def alive(self) -> None:
        """Feed the watchdog."""
        if self.watchdog_s is not None:
            self._send("WATCHDOG=1")

    def reloading(self, monotonic_s: float) -> None:
        """Say that the settings are read again; ``ready`` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic_s * 1e6)}")

    def stopping(self, patience_s: float) -> None:
        """Say that the daemon ends, within *patience_s* seconds."""
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(patience_s * 1e6)}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(0.0)
            try:
                sender.sendto(message.encode(), self._address)
            except OSError:
                # Nobody listens any more: systemd's own time-outs decide then, not an error of ours.
                return
