"""Alerts through the real door: who is let in, what is written before the answer, and what comes of it."""

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.web import alert_lanes, alert_route
from tests.builders_alerts import ASKS, RELEASE, alert_json, key_of, later, message_json
from tests.integration.test_api import until
from tests.real_alerts import BEARER, TOKEN, Site, a_site

BY_RELEASE = {**ASKS, "release": RELEASE}
MESSAGE = message_json(alert_json(BY_RELEASE))
NOTHING = {"alertname": "HighMemory"}


def storm(number: int, each: int = 1) -> dict[str, object]:
    """Return a message of alerts that ask for nothing, different from those of other numbers."""
    return message_json(*(alert_json(NOTHING, fingerprint=f"{number}-{place}") for place in range(each)))


def results(told: dict[str, list[dict[str, str]]]) -> list[str]:
    return [each["result"] for each in told["alerts"]]


async def test_an_alert_asks_for_the_rollback_of_its_release_and_of_that_attempt_only(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        status, told = await site.post(MESSAGE)
        assert (status, results(told)) == (200, ["acted"])
        assert told["alerts"][0]["message"].endswith("the rollback of attempt 3 is asked for")
        [asked] = site.requests()
        assert (asked.verb, asked.actor) == ("rollback", "alertmanager at 127.0.0.1")
        assert asked.arguments == {"only": "traffic", "attempt": "3"}
        [(reason, message, actor)] = site.events(key_of())
        assert (reason, actor) == ("AlertActed", "alertmanager at 127.0.0.1")
        assert message.startswith("PsaReleaseErrors (release=psa-suite, severity=critical): ")
        await until(lambda: site.requests()[0].answer is not None)
        assert site.counted("acted") == 1


async def test_both_of_a_pair_and_every_repetition_are_one_alert_also_after_a_restart(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        async with asyncio.TaskGroup() as group:
            pair = [group.create_task(site.post(MESSAGE)) for _ in range(2)]
        assert sorted(results(each.result()[1])[0] for each in pair) == ["acted", "duplicate"]
        assert results((await site.post(MESSAGE))[1]) == ["duplicate"]
    async with a_site(tmp_path) as site:
        status, told = await site.post(MESSAGE)
        assert (status, results(told)) == (200, ["duplicate"])
        assert len(site.requests()) == 1
        assert len(site.events(key_of())) == 1
        assert site.counted("duplicate") == 1


async def test_what_is_not_acted_on_is_written_down_all_the_same(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        message = message_json(
            alert_json(BY_RELEASE, fingerprint="1", startsAt="2026-11-24T10:00:00Z"),
            alert_json(BY_RELEASE, fingerprint="2", status="resolved"),
            alert_json({**ASKS, "release": "nobody"}, fingerprint="3"),
            alert_json(NOTHING, fingerprint="4"),
            alert_json(NOTHING, fingerprint="4"),
        )
        _, told = await site.post(message)
        assert results(told) == ["early", "resolved", "unknown", "unknown", "duplicate"]
        assert [reason for reason, _, _ in site.events(key_of())] == ["AlertEarly", "AlertResolved"]
        assert [reason for reason, _, _ in site.daemons] == ["AlertUnknown", "AlertUnknown"]
        assert site.requests() == ()


async def test_alerts_that_were_left_out_are_a_warning_once(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        cut = {**storm(1), "truncatedAlerts": 40}
        for _ in range(2):
            assert (await site.post(cut))[0] == 200
        found = [text for reason, text, _ in site.daemons if reason == "AlertsTruncated"]
        assert len(found) == 1
        assert found[0].startswith("Alertmanager left 40 alerts out; whether one of them asks for a rollback")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": TOKEN},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN}0"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer "},
        {"X-Authorization": f"Bearer {TOKEN}"},
    ],
)
async def test_a_forged_message_is_not_even_looked_at(tmp_path: Path, headers: dict[str, str]) -> None:
    async with a_site(tmp_path) as site:
        for body in (MESSAGE, b"[" * 100_000, b""):
            status, told = await site.post(body, {**headers, "Content-Type": "text/html"})
            assert (status, told) == (
                401,
                {"error": {"code": "Unauthorized", "message": "unauthorized", "hint": None}},
            )
        assert site.requests() == ()
        assert (site.counted("unauthorized"), site.counted("malformed")) == (3, 0)
        await until(lambda: bool(site.daemons))
        assert [(reason, text) for reason, text, _ in site.daemons] == [
            (
                "AlertRefused",
                "1 without a valid token since the last such event; this one came from 127.0.0.1",
            )
        ]


async def test_strangers_make_us_write_one_event_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_site(tmp_path) as site:
        for _ in range(50):
            assert (await site.post(MESSAGE, {}))[0] == 401
        await until(lambda: len(site.daemons) == 1)
        monkeypatch.setattr(alert_route, "_REFUSALS_EACH_S", 0.0)
        assert (await site.post(MESSAGE, {}))[0] == 401
        await until(lambda: len(site.daemons) == 2)
        assert site.daemons[1][1].startswith("50 without a valid token")


async def test_without_the_section_there_is_no_such_address(tmp_path: Path) -> None:
    async with a_site(tmp_path, access=None) as site:
        assert (await site.post(MESSAGE))[0] == 404
        assert site.counted("acted") == 0


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_only_post_is_a_way_in(tmp_path: Path, method: str) -> None:
    async with (
        a_site(tmp_path) as site,
        site.tcp.request(method, alert_route.PATH, json=MESSAGE, headers=BEARER) as answer,
    ):
        assert answer.status == 405


async def test_the_door_of_psactl_takes_alerts_with_a_token_too(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        async with site.unix.post(alert_route.PATH, json=MESSAGE) as answer:
            assert answer.status == 401
        async with site.unix.post(alert_route.PATH, json=MESSAGE, headers=BEARER) as answer:
            assert results(await answer.json()) == ["acted"]
        assert site.requests()[0].actor == "alertmanager"


async def test_nobody_is_told_that_an_alert_was_taken_before_it_is_on_disk(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        site.gate.opened.clear()
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(site.post(MESSAGE))
            await until(lambda: site.gate.waiting == 1)
            assert not waiting.done()
            assert site.requests() == ()
            site.gate.opened.set()
        assert waiting.result()[0] == 200
        connection = sqlite3.connect(f"file:{tmp_path}/state.db?mode=ro", uri=True)
        [(mark,)] = connection.execute("SELECT mark FROM alerts").fetchall()
        [(requests,)] = connection.execute("SELECT requests FROM objects WHERE kind = 'Release'").fetchall()
        connection.close()
        assert mark.endswith(" firing")
        assert json.loads(requests)[0][1] == "rollback"


async def test_what_the_disk_refuses_is_sent_again_and_taken_then(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        site.gate.error = sqlite3.OperationalError("database or disk is full")
        with capture_logs() as logs:
            for _ in range(3):
                assert (await site.post(MESSAGE))[0] == 503
        assert [line["event"] for line in logs].count("alerts.refused") == 1
        async with site.tcp.post(alert_route.PATH, json=MESSAGE, headers=BEARER) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
            assert (await answer.json())["error"]["code"] == "StoreBroken"
        site.gate.error = None
        status, told = await site.post(MESSAGE)
        assert (status, results(told)) == (200, ["acted"])
        assert len(site.requests()) == 1
        site.gate.error = sqlite3.OperationalError("database or disk is full")
        with capture_logs() as logs:
            assert (await site.post(storm(1)))[0] == 503
        assert "alerts.refused" in [line["event"] for line in logs], "it is news again"


async def waiting_behind_a_storm(
    site: Site, group: asyncio.TaskGroup
) -> list["asyncio.Task[tuple[int, object]]"]:
    """Let the disk stand still while so many alerts come as can wait."""
    site.gate.opened.clear()
    first = group.create_task(site.post(storm(0)))
    await until(lambda: site.gate.waiting == 1)
    tasks = [group.create_task(site.post(storm(number))) for number in range(1, 9)]
    await until(lambda: site.counted("dropped") == 3)
    return [first, *tasks]


async def test_a_storm_fills_its_own_lane_and_the_alert_that_counts_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_lanes, "MOST_WAITING", 5)
    monkeypatch.setattr(alert_route, "MOST_READ", 2)  # who waits is read, and keeps nobody from being read
    async with a_site(tmp_path) as site:
        async with asyncio.TaskGroup() as group:
            tasks = await waiting_behind_a_storm(site, group)
            async with site.tcp.post(alert_route.PATH, json=storm(99), headers=BEARER) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
                assert (await answer.json())["error"]["message"] == "too many alerts wait"
            urgent = group.create_task(site.post(MESSAGE))
            await asyncio.sleep(0.05)
            assert not urgent.done()
            site.gate.opened.set()
        assert (urgent.result()[0], results(urgent.result()[1])) == (200, ["acted"])
        assert sorted(task.result()[0] for task in tasks) == [200] * 6 + [503] * 3
        assert len(site.requests()) == 1
        assert site.counted("dropped") == 4
        assert len(site.daemons) == 6


async def test_large_alerts_fill_a_lane_by_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_lanes, "MOST_BYTES", 500_000)
    async with a_site(tmp_path) as site:
        site.gate.opened.clear()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(site.post(storm(0)))
            await until(lambda: site.gate.waiting == 1)
            large = [large_message(number) for number in range(5)]
            tasks = [group.create_task(site.post(message)) for message in large]
            await until(lambda: site.counted("dropped") == 2)
            site.gate.opened.set()
        assert first.result()[0] == 200
        assert sorted(task.result()[0] for task in tasks) == [200] * 3 + [503] * 2
        for number in range(5, 9):
            assert (await site.post(large_message(number)))[0] == 200, "the room is free again"


def large_message(number: int) -> dict[str, object]:
    text = {"description": "x" * 200_000}
    return message_json(alert_json(NOTHING, fingerprint=f"large-{number}", annotations=text))


async def test_all_that_wait_are_one_transaction(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        site.gate.opened.clear()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(site.post(storm(0)))
            await until(lambda: site.gate.waiting == 1)
            others = [group.create_task(site.post(storm(number))) for number in range(1, 80)]
            await asyncio.sleep(0.3)
            before = site.store.commits
            site.gate.opened.set()
        assert {task.result()[0] for task in [first, *others]} == {200}
        assert site.store.commits - before <= 3
        assert len(site.daemons) == 80


async def test_who_waits_when_the_daemon_ends_is_told_to_come_again(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        site.gate.opened.clear()
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(site.post(storm(number))) for number in range(3)]
            await until(lambda: site.gate.waiting == 1)
            site.task.cancel()
            await until(site.task.done)
            status, told = await site.post(MESSAGE)
            assert (status, told["error"]["message"]) == (503, "the daemon is stopping")
        assert [each.result()[0] for each in waiting] == [503] * 3


async def test_an_alert_of_the_attempt_before_does_not_hit_the_next_one(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        assert results((await site.post(MESSAGE))[1]) == ["acted"]
        site.releases.attempt = 4
        site.releases.fields = {**site.releases.fields, "split_at": later(120)}
        await site.unix.post("/api/v1/reconcile", json={"object": f"Release/{RELEASE}"})
        await until(lambda: "number=4" in repr(site.store.state.objects[key_of()].status))
        assert results((await site.post(MESSAGE))[1]) == ["duplicate"]
        replica = message_json(alert_json(BY_RELEASE, startsAt=later(1)))
        assert results((await site.post(replica))[1]) == ["early"]
        anew = message_json(alert_json(BY_RELEASE, startsAt=later(121)))
        assert results((await site.post(anew))[1]) == ["acted"]
        assert [each.arguments["attempt"] for each in site.requests()] == ["3", "4"]
