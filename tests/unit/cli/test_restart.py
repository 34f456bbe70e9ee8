"""psactl restart: asks one container, waits for the answer, and says it."""

import pytest

from tests.builders_cli import an_object
from tests.fakes.recorded_daemon import RecordedDaemon
from tests.unit.cli.conftest import Psactl

PATH = "/api/v1/container/psa-redis/restart"


@pytest.fixture
def platform(daemon: RecordedDaemon) -> RecordedDaemon:
    daemon.objects = [an_object(), an_object("Container/psa-crm"), an_object("RedisInstance/psa-cache")]
    return daemon


@pytest.mark.parametrize("word", ["psa-redis", "Container/psa-redis", "ct/psa-redis"])
def test_a_restart_that_is_done_is_said(platform: RecordedDaemon, pipe: Psactl, word: str) -> None:
    platform.answers = {"restart": (True, "restarted")}

    ran = pipe("restart", word, "--reason", "it leaks")

    assert (ran.code, ran.out) == (0, "✔ Container/psa-redis is restarted\n")
    assert platform.posted(PATH) == [{"reason": "it leaks"}]


def test_a_refusal_fails_the_command_with_the_containers_sentence(
    platform: RecordedDaemon, pipe: Psactl
) -> None:
    platform.answers = {"restart": (False, "refused: CT 210 on pve is locked (backup)")}

    ran = pipe("restart", "psa-redis", "--reason", "it leaks")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "✖ Container/psa-redis: refused: CT 210 on pve is locked (backup)\n"


def test_what_is_not_answered_in_time_stays_asked(platform: RecordedDaemon, pipe: Psactl) -> None:
    ran = pipe("restart", "psa-redis", "--reason", "it leaks", "--timeout", "1s")

    assert ran.code == 7
    assert "asked, and not answered within 1 s; it stays asked" in ran.err
    assert len(platform.posted(PATH)) == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [(("psa-redis",), 2), (("ct", "--reason", "x"), 2), (("nothing", "--reason", "x"), 3)],
    ids=["no-reason", "more-than-one", "unknown"],
)
def test_without_one_container_and_a_reason_nothing_is_asked(
    platform: RecordedDaemon, pipe: Psactl, words: tuple[str, ...], code: int
) -> None:
    assert pipe("restart", *words).code == code
    assert not [path for method, path, _ in platform.asked if method == "POST" and "restart" in path]
