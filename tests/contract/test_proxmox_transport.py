"""The transport over real TLS: who is trusted, what is sent once, and what each failure means."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconcilers.contract import NotSentError, PermanentError, TransientError
from reconcilers.transports.proxmox import ProxmoxTransport
from reconcilers.transports.proxmox_errors import AbsentError, NodeSilentError
from tests.fakes.https_server import Asked, Certificate, HttpsServer, Say, hang_up, make_certificate, serving

TOKEN = "psa@pve!daemon=11111111-2222-3333-4444-555555555555"
SECRET = "11111111-2222-3333-4444-555555555555"
INVALID = "Parameter verification failed."
START = ("nodes", "pve1", "lxc", "100", "status", "start")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server(certificate: Certificate) -> Iterator[HttpsServer]:
    with serving(certificate) as running:
        yield running


@pytest.fixture
def transport(server: HttpsServer, certificate: Certificate) -> Iterator[ProxmoxTransport]:
    made = ProxmoxTransport("pve", [server.url], TOKEN, fingerprint=certificate.fingerprint, deadline_s=4.0)
    yield made
    made.close()


def a_closed_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"https://127.0.0.1:{listener.getsockname()[1]}"


def says(status: int, reason: str, **body: object) -> Say:
    return Say(status, reason, json.dumps({"data": None, **body}))


async def test_an_answer_is_its_data_and_the_request_carries_the_token(
    transport: ProxmoxTransport, server: HttpsServer
) -> None:
    server.answer = lambda _: Say(body='{"data":[{"vmid":100}]}')
    assert await transport.read(("cluster", "resources"), {"type": "vm"}) == [{"vmid": 100}]
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("GET", "/api2/json/cluster/resources?type=vm")
    assert asked.authorization == f"PVEAPIToken={TOKEN}"


async def test_a_write_sends_its_fields_as_a_form_and_a_removal_as_a_query(
    transport: ProxmoxTransport, server: HttpsServer
) -> None:
    await transport.write("PUT", ("nodes", "pve1", "lxc", "100", "config"), {"memory": "64", "tags": "a;b"})
    await transport.write("DELETE", ("nodes", "pve1", "lxc", "100"), {"purge": "1"})
    put, delete = server.asked
    assert (put.method, put.body) == ("PUT", "memory=64&tags=a%3Bb")
    assert (delete.method, delete.path) == ("DELETE", "/api2/json/nodes/pve1/lxc/100?purge=1")


async def test_neither_token_nor_body_reach_the_log(
    transport: ProxmoxTransport, server: HttpsServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer = lambda _: says(400, "Parameter verification failed.", errors={"memory": "too small"})
    with pytest.raises(PermanentError) as refused:
        await transport.write("POST", START, {"password": "hidden-word"})
    said = caplog.text + str(refused.value) + repr(refused.value.__cause__) + repr(transport)
    assert SECRET not in said
    assert "hidden-word" not in said


@pytest.mark.parametrize(
    ("status", "reason", "body", "of_read", "of_write"),
    [
        (401, "Authentication failed!", {}, PermanentError, PermanentError),
        (403, "Permission check failed (/vms/100, VM.Audit)", {}, PermanentError, PermanentError),
        (501, "Method 'GET /nope' not implemented", {}, PermanentError, PermanentError),
        (
            400,
            "Parameter verification failed.",
            {"errors": {"memory": "0"}},
            PermanentError,
            PermanentError,
        ),
        (
            400,
            "Parameter verification failed.",
            {"errors": {"upid": "no such task"}},
            AbsentError,
            AbsentError,
        ),
        (
            400,
            INVALID,
            {"errors": {"net0": "unable to hotplug net0: bridge 'nobr' does not exist\n"}},
            NotSentError,
            NotSentError,
        ),
        (500, "Configuration file 'nodes/pve1/lxc/100.conf' does not exist", {}, AbsentError, AbsentError),
        (500, "hostname lookup 'pve9' failed - failed to get address", {}, PermanentError, PermanentError),
        (500, "CT 100 already exists on node 'pve1'", {}, NotSentError, NotSentError),
        (500, "CT is locked (backup)", {}, NotSentError, NotSentError),
        (500, "cluster not ready - no quorum?", {}, NotSentError, NotSentError),
        (
            500,
            "detected modified configuration - file changed",
            {},
            NotSentError,
            NotSentError,
        ),
        (500, "can't lock file '/run/lock/x.lock' - got timeout", {}, TransientError, TransientError),
        (595, "No route to host", {}, NodeSilentError, NotSentError),
        (596, "Connection reset by peer", {}, NodeSilentError, TransientError),
        (599, "Too many redirections", {}, NodeSilentError, TransientError),
        (503, "Service Unavailable", {}, TransientError, TransientError),
    ],
)
async def test_each_refusal_has_its_meaning(  # noqa: PLR0917 - a table
    transport: ProxmoxTransport,
    server: HttpsServer,
    status: int,
    reason: str,
    body: dict[str, object],
    of_read: type[Exception],
    of_write: type[Exception],
) -> None:
    server.answer = lambda _: says(status, reason, message=f"{reason}\n", **body)
    with pytest.raises(of_read) as reading:
        await transport.read(("version",))
    with pytest.raises(of_write) as writing:
        await transport.write("POST", START)
    assert (reading.type, writing.type) == (of_read, of_write)
    assert reason in str(writing.value)


async def test_the_text_of_every_refused_field_is_told(
    transport: ProxmoxTransport, server: HttpsServer
) -> None:
    errors = {"net0": "invalid format - format error\nnet0.tag: too large\n", "cores": "min 1"}
    server.answer = lambda _: says(400, "Parameter verification failed.", errors=errors)
    with pytest.raises(PermanentError, match=r"cores: min 1; net0: .* net0\.tag: too large") as refused:
        await transport.write("POST", START)
    assert refused.value.reason == "InvalidRequest"


async def test_an_empty_body_of_an_older_server_leaves_the_reason(
    transport: ProxmoxTransport, server: HttpsServer
) -> None:
    server.answer = lambda _: Say(401, "No ticket", "")
    with pytest.raises(PermanentError, match="401 No ticket") as refused:
        await transport.read(("version",))
    assert refused.value.reason == "Unauthorized"


@pytest.mark.parametrize(
    "body", ["<html>welcome</html>", '{"data":[{"vmid":10', "[]", "", '{"errors":{}}'], ids=repr
)
async def test_a_garbled_answer_is_unknown_never_empty(
    transport: ProxmoxTransport, server: HttpsServer, body: str
) -> None:
    server.answer = lambda _: Say(body=body)
    with pytest.raises(TransientError):
        await transport.read(("cluster", "resources"))
    with pytest.raises(TransientError) as writing:
        await transport.write("POST", START)
    assert not isinstance(writing.value, NotSentError)


async def test_a_redirect_is_not_followed_with_the_token(
    transport: ProxmoxTransport, server: HttpsServer, certificate: Certificate
) -> None:
    with serving(certificate) as other:
        server.answer = lambda _: Say(302, "Found", "", location=f"{other.url}/api2/json/version")
        with pytest.raises(TransientError):
            await transport.read(("version",))
        assert other.asked == []


async def test_a_lost_answer_is_unknown_and_the_write_is_sent_once(
    server: HttpsServer, certificate: Certificate
) -> None:
    with serving(certificate) as second:
        urls = [server.url, second.url]
        transport = ProxmoxTransport("pve", urls, TOKEN, fingerprint=certificate.fingerprint, deadline_s=4.0)
        server.answer = hang_up
        with pytest.raises(TransientError) as lost:
            await transport.write("POST", START)
        transport.close()
        assert not isinstance(lost.value, NotSentError)
        assert (len(server.asked), len(second.asked)) == (1, 0)


async def test_a_slow_write_is_unknown_within_the_deadline(
    server: HttpsServer, certificate: Certificate
) -> None:
    released = threading.Event()

    def wait(_: Asked) -> Say:
        released.wait(10)
        return Say()

    server.answer = wait
    transport = ProxmoxTransport(
        "pve", [server.url], TOKEN, fingerprint=certificate.fingerprint, deadline_s=1.0
    )
    begun = time.monotonic()
    with pytest.raises(TransientError) as slow:
        await transport.write("POST", START)
    took_s = time.monotonic() - begun
    released.set()
    transport.close()
    assert not isinstance(slow.value, NotSentError)
    assert took_s < 1.5
    assert len(server.asked) == 1


async def test_a_call_that_never_got_a_thread_was_not_sent(
    server: HttpsServer, certificate: Certificate
) -> None:
    transport = ProxmoxTransport(
        "pve", [server.url], TOKEN, fingerprint=certificate.fingerprint, deadline_s=0.3
    )
    released = threading.Event()
    busy = [transport._pool.submit(released.wait, 10) for _ in range(8)]
    with pytest.raises(NotSentError, match=r"within 0\.3 s"):
        await transport.write("POST", START)
    released.set()
    assert all(work.result() for work in busy)
    transport._pool.shutdown()
    assert server.asked == []
    transport.close()


async def test_reads_go_on_with_the_next_host_and_stay_there(
    server: HttpsServer, certificate: Certificate
) -> None:
    urls = [a_closed_port(), server.url]
    transport = ProxmoxTransport("pve", urls, TOKEN, fingerprint=certificate.fingerprint)
    for _ in range(2):
        assert await transport.read(("version",)) is None
    await transport.write("POST", START)
    transport.close()
    assert [asked.method for asked in server.asked] == ["GET", "GET", "POST"]


async def test_a_host_that_cannot_reach_the_node_is_passed_over(
    server: HttpsServer, certificate: Certificate
) -> None:
    with serving(certificate) as second:
        second.answer = lambda _: Say(body='{"data":1}')
        server.answer = lambda _: Say(595, "No route to host", "")
        urls = [server.url, second.url]
        transport = ProxmoxTransport("pve", urls, TOKEN, fingerprint=certificate.fingerprint)
        assert await transport.read(("nodes", "pve2", "status")) == 1
        transport.close()


async def test_a_refused_connection_was_never_sent(certificate: Certificate) -> None:
    transport = ProxmoxTransport("pve", [a_closed_port()], TOKEN, fingerprint=certificate.fingerprint)
    with pytest.raises(NotSentError, match="Connection refused"):
        await transport.write("POST", START)
    with pytest.raises(NotSentError, match="Connection refused"):
        await transport.read(("version",))
    transport.close()


async def test_another_certificate_than_the_pinned_one_sees_no_request(
    server: HttpsServer, certificate: Certificate, tmp_path: Path
) -> None:
    other = make_certificate(tmp_path, "other")
    transport = ProxmoxTransport("pve", [server.url], TOKEN, fingerprint=other.fingerprint)
    digits = certificate.fingerprint.replace(":", "").lower()
    with pytest.raises(PermanentError, match=digits) as refused:
        await transport.read(("version",))
    transport.close()
    assert refused.value.reason == "CertificateChanged"
    assert server.asked == []


async def test_a_certificate_is_checked_against_the_ca_file(
    server: HttpsServer, certificate: Certificate
) -> None:
    transport = ProxmoxTransport("pve", [server.url], TOKEN, ca_file=certificate.file)
    assert await transport.read(("version",)) is None
    transport.close()


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
async def test_the_environment_neither_grants_nor_takes_trust(
    server: HttpsServer,
    certificate: Certificate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    monkeypatch.setenv(variable, str(certificate.file))
    unpinned = ProxmoxTransport("pve", [server.url], TOKEN)
    with pytest.raises(PermanentError, match="certificate"):
        await unpinned.read(("version",))
    monkeypatch.setenv(variable, str(make_certificate(tmp_path, "other").file))
    pinned = ProxmoxTransport("pve", [server.url], TOKEN, fingerprint=certificate.fingerprint)
    listed = ProxmoxTransport("pve", [server.url], TOKEN, ca_file=certificate.file)
    assert await pinned.read(("version",)) is None
    assert await listed.read(("version",)) is None
    for transport in (unpinned, pinned, listed):
        transport.close()
    assert len(server.asked) == 2


@pytest.mark.parametrize("segment", ["..", ".", "", "a/b", "a%2Fb", "a?b", "a#b", "a b", "pve1\n", "ü"])
async def test_a_segment_that_could_leave_its_path_is_refused_before_it_is_sent(
    transport: ProxmoxTransport, server: HttpsServer, segment: str
) -> None:
    with pytest.raises(PermanentError):
        await transport.write("DELETE", ("nodes", segment, "lxc", "100"))
    assert server.asked == []


@pytest.mark.parametrize(
    ("urls", "token", "fingerprint"),
    [
        ([], TOKEN, None),
        (["http://127.0.0.1:8006"], TOKEN, None),
        (["https://127.0.0.1:8006/other"], TOKEN, None),
        (["https://127.0.0.1:8006"], "root@pam:11111111-2222-3333-4444-555555555555", None),
        (["https://127.0.0.1:8006"], "psa@pve!daemon=secret", None),
        (["https://127.0.0.1:8006"], TOKEN, "AA:BB"),
    ],
)
def test_what_can_never_work_is_refused_at_once_without_the_secret(
    urls: list[str], token: str, fingerprint: str | None
) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        ProxmoxTransport("pve", urls, token, fingerprint=fingerprint)
    assert token not in str(refused.value)
