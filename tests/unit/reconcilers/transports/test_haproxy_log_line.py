"""A line of HAProxy's log says what it says, in every frame; what is none costs nothing and never raises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.transports.haproxy_log_line import LogLine, claims, read_line

HTTPLOG = (
    b"127.0.0.1:40562 [25/Nov/2026:16:14:57.123] api_frontend api_backend/green 0/0/1/29/30 200 112 - - ----"
    b' 1/1/0/0/0 0/0 "GET / HTTP/1.1"'
)
OWN = b"psa api_backend/green 0/0/1/29/30 200 --"
GREEN = LogLine(b"api_backend/green", 200, 30, b"--")


#: As 2.6.12 writes them, by the word behind ``format`` on the log line.
FRAMES = {
    "raw": b"",
    "short": b"<6>",
    "priority": b"<134>",
    "local": b"<134>Nov 25 16:14:57 haproxy[1234]: ",
    "rfc3164": b"<134>Nov  5 16:14:57 edge1 haproxy[1234]: ",
    "rfc5424": b"<134>1 2026-11-25T16:14:57.560322+00:00 - haproxy 24220 - - ",
}


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("line", [HTTPLOG, OWN], ids=["httplog", "own"])
def test_both_forms_are_read_in_every_frame(frame: str, line: bytes) -> None:
    assert read_line(FRAMES[frame] + line) == GREEN
    assert read_line(FRAMES[frame] + line + b"\n") == GREEN


@pytest.mark.parametrize(
    "more",
    [
        b' 10.0.0.1:5 {a|b} "GET /"',  # the own form, with more behind it
        b" - TLSv1.3/TLS_AES_128_GCM_SHA256",
    ],
)
def test_what_stands_behind_is_nobodys_business(more: bytes) -> None:
    assert read_line(OWN + more) == GREEN
    assert read_line(HTTPLOG + more) == GREEN


@pytest.mark.parametrize(
    "client", [b"::1:5000", b"2001:db8::7:443", b"unix:1", b"10.0.0.1:80"], ids=bytes.decode
)
def test_every_kind_of_client_is_the_same(client: bytes) -> None:
    assert read_line(HTTPLOG.replace(b"127.0.0.1:40562", client)) == GREEN


def test_a_line_that_was_written_before_the_end_counts() -> None:
    """As ``option logasap`` writes them: the whole time and the size have a plus."""
    assert read_line(HTTPLOG.replace(b"29/30 200 112", b"29/+30 200 +112")) == GREEN


def test_neither_the_client_nor_a_queue_nor_what_was_tried_before_is_the_servers_time() -> None:
    slow = read_line(HTTPLOG.replace(b"0/0/1/29/30", b"5000/900/1/29/9999"))
    assert slow == GREEN


def test_a_time_out_of_the_server_is_as_slow_as_it_was_waited_for() -> None:
    line = HTTPLOG.replace(b"0/0/1/29/30 200", b"0/0/1/-1/30001 504").replace(b"----", b"sH--")
    found = read_line(line)
    assert found is not None
    assert (found.status, found.answer_ms) == (504, 30001)


def test_a_request_without_an_answer_has_no_time() -> None:
    found = read_line(HTTPLOG.replace(b"0/0/1/29/30 200", b"0/0/-1/-1/3 503").replace(b"----", b"SC--"))
    assert found is not None
    assert found.answer_ms is None


@pytest.mark.parametrize(
    "line",
    [
        b'{"GET ' + OWN + b'"}',
        b'<6>"' + HTTPLOG + b'"',
        b"<134>Nov 25 16:14:57 haproxy[1]: 10.0.0.1 {agent: " + OWN + b"}",
        b"GET / psa " + OWN,
        b"<6>GET /?q=" + OWN,
        b"x " + OWN,
    ],
)
def test_what_a_client_sends_is_never_taken_for_a_line(line: bytes) -> None:
    assert read_line(line) is None


@pytest.mark.parametrize("forged", [OWN, HTTPLOG.replace(b"green", b"blue"), b'" ' + OWN, b"<6>" + OWN])
def test_what_a_client_sends_does_not_hide_its_line(forged: bytes) -> None:
    assert read_line(HTTPLOG.replace(b"GET / HTTP/1.1", forged)) == GREEN
    assert read_line(OWN + b" " + forged) == GREEN


@pytest.mark.parametrize(
    "line",
    [
        b"Proxy api_backend started.",
        b'Server api_backend/blue is DOWN, reason: Layer4 connection problem, info: "Connection refused".',
        b"127.0.0.1:1 [25/Nov/2026:16:14:57.123] api_frontend/1: SSL handshake failure",
        b"",
    ],
)
def test_other_news_of_haproxys_are_no_broken_lines(line: bytes) -> None:
    for each in (line, FRAMES["local"] + line):
        assert read_line(each) is None
        assert not claims(each)


@pytest.mark.parametrize("whole", [HTTPLOG, OWN], ids=["httplog", "own"])
def test_a_line_that_was_cut_tells_nothing_and_is_known_as_one(whole: bytes) -> None:
    needed = len(OWN) if whole is OWN else len(HTTPLOG.partition(b" 1/1/0")[0]) - 2
    for length in range(needed):
        assert read_line(whole[:length]) is None
    assert claims(whole[: needed - 1])


@given(st.binary(max_size=400), st.integers(0, len(HTTPLOG)), st.sampled_from(sorted(FRAMES)))
def test_no_garbage_raises(garbage: bytes, at: int, frame: str) -> None:
    spoilt = HTTPLOG[:at] + garbage + HTTPLOG[at:]
    for line in (garbage, FRAMES[frame] + garbage, spoilt, FRAMES[frame] + OWN[:at] + garbage):
        found = read_line(line)
        claims(line)
        assert found is None or found.answer_ms is None or 0 <= found.answer_ms < 2 * 10**9


@given(st.text(max_size=200), st.integers(1, 60))
def test_no_length_and_no_alphabet_raises(text: str, times: int) -> None:
    for line in (text * times, "psa " + text * times, f"1:1 [25/Nov/2026:16:14:57.123] f {text * times}"):
        read_line(line.encode("utf-8", "surrogatepass"))
        claims(line.encode("utf-8", "surrogatepass"))
