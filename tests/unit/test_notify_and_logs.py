"""What systemd hears, and what never reaches a log."""

import os
import socket
from pathlib import Path

from daemon.logs import redact
from daemon.notify import Notifier


def a_listener(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(address)
    listener.settimeout(2.0)
    return listener


def test_the_messages_are_those_of_sd_notify(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with a_listener(address) as listener:
        environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
        notifier = Notifier(environ)
        assert notifier.watchdog_s == 30.0
        notifier.ready("3 files read")
        notifier.alive()
        notifier.reloading(1.5)
        notifier.stopping(30)
        heard = [listener.recv(200).decode() for _ in range(4)]
    assert heard == [
        "READY=1\nSTATUS=3 files read",
        "WATCHDOG=1",
        "RELOADING=1\nMONOTONIC_USEC=1500000",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000",
    ]


def test_an_abstract_socket_is_understood() -> None:
    name = f"psa-test-{os.getpid()}"
    with a_listener(f"\0{name}") as listener:
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).status("here")
        assert listener.recv(100) == b"STATUS=here"


def test_the_watchdog_of_another_process_is_not_fed() -> None:
    assert Notifier({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_s is None


def test_without_systemd_nothing_is_said_and_nothing_fails(tmp_path: Path) -> None:
    Notifier({}).ready("x")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("x")


def test_secrets_are_blotted_out_by_key_and_by_shape() -> None:
    secret = "12345678-1234-1234-1234-123456789abc"
    event = redact(
        None,
        "info",
        {"event": "x", "token": secret, "error": f"Authorization: PVEAPIToken=psa@pve!d={secret} refused"},
    )
    assert secret not in str(event)
    assert event["error"].endswith("psa@pve!d=(hidden) refused")
