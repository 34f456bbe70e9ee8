"""Log lines as people and the journal get them, and what never gets into one."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from daemon.logs import HIDDEN, blotted, hide, redact, set_up_logs

SECRET = "12345678-1234-1234-1234-123456789abc"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def logged(level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    set_up_logs(level, stream)
    return stream


def test_a_line_is_json_with_time_level_and_event_first() -> None:
    stream = logged()
    structlog.stdlib.get_logger().info("step.applied", object="Container/psa-redis", attempt=2)
    line = json.loads(stream.getvalue())
    assert list(line)[:3] == ["ts", "level", "event"]
    assert line["ts"].endswith("Z")
    assert {**line, "ts": ""} == {
        "ts": "",
        "level": "info",
        "event": "step.applied",
        "object": "Container/psa-redis",
        "attempt": 2,
    }


def test_lines_below_the_level_are_not_written() -> None:
    stream = logged("warning")
    log = structlog.stdlib.get_logger()
    log.info("step.applied")
    log.warning("drain.overdue")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["drain.overdue"]


def test_the_level_can_be_changed_while_loggers_are_in_use() -> None:
    log = structlog.stdlib.get_logger()
    stream = io.StringIO()
    set_up_logs("error", stream)
    log.info("step.applied")
    set_up_logs("info", stream)
    log.info("step.verified")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["step.verified"]


def test_what_a_library_says_is_a_line_of_the_same_form() -> None:
    stream = logged()
    logging.getLogger("aiohttp.server").error("it broke: %s", f"psa@pve!x={SECRET}")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["logger"], line["level"]) == ("library.logged", "aiohttp.server", "error")
    assert line["message"] == f"it broke: psa@pve!x={HIDDEN}"


@pytest.mark.parametrize("name", ["proxmoxer.core", "urllib3.connectionpool", "asyncio"])
def test_chatty_libraries_are_quiet_even_at_debug(name: str) -> None:
    stream = logged("debug")
    logging.getLogger(name).info("output: the whole answer")
    assert stream.getvalue() == ""


def fail(local: str) -> None:
    raise ValueError(f"refused: correct-horse-battery and {len(local)}")


def test_a_traceback_shows_neither_secrets_nor_locals() -> None:
    hide("correct-horse-battery")
    for stream in (io.StringIO(), Terminal()):
        set_up_logs("info", stream)
        try:
            fail("a local variable")
        except ValueError:
            structlog.stdlib.get_logger().exception("pass.failed")
        assert "ValueError: refused: (hidden) and 16" in stream.getvalue()
        assert "correct-horse" not in stream.getvalue()
        assert "= 'a local variable'" not in stream.getvalue()


def test_a_terminal_gets_words_and_a_pipe_json() -> None:
    stream = Terminal()
    set_up_logs("info", stream)
    structlog.stdlib.get_logger().info("step.applied", object="Container/psa-redis")
    assert "step.applied" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_secrets_are_blotted_out_by_key_and_by_shape_however_deep() -> None:
    event = redact(
        None,
        "info",
        {
            "event": "x",
            "token": SECRET,
            "error": f"Authorization: PVEAPIToken=psa@pve!d={SECRET} refused",
            "call": {"headers": {"Authorization": SECRET}, "lines": [f"a@b!c={SECRET}", 3]},
            "cause": ValueError(f"a@b!c={SECRET}"),
        },
    )
    assert SECRET not in str(event)
    assert event["error"].endswith("psa@pve!d=(hidden) refused")
    assert event["call"] == {"headers": {"Authorization": HIDDEN}, "lines": [f"a@b!c={HIDDEN}", 3]}


def test_what_is_registered_is_blotted_out_wherever_it_stands() -> None:
    hide("hunter2-hunter2")
    assert blotted("the answer repeats hunter2-hunter2 twice: hunter2-hunter2").count(HIDDEN) == 2


def test_a_short_word_is_not_taken_for_a_secret() -> None:
    hide("psa")
    assert blotted("psa-redis") == "psa-redis"
