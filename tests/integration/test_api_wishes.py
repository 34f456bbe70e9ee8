"""What operators ask of releases, of the traffic and of all releases at once, through the real socket."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from crds.balancer import TrafficSplitSpec
from crds.freeze import FREEZE
from crds.meta import Key
from crds.release import ReleaseSpec
from daemon.ports import SystemClock
from daemon.store.operations import Apply, Assign, Orphan
from metrics.traffic import TrafficMetrics
from reconcilers.contract import TransientError
from reconcilers.split.reconciler import SplitReconciler
from tests.builders import START, a_container_spec
from tests.builders_haproxy import NAME, a_backend, a_service_spec, a_split_to
from tests.fakes.haproxy import FakeHaproxy
from tests.fakes.releases import AnsweringReleases
from tests.integration.test_api import ME, Running, a_daemon, until

RELEASE, SPLIT = Key("Release", "psa-suite"), Key("TrafficSplit", NAME)
VERBS = ["promote", "pause", "resume", "abort", "rollback", "retry"]


@dataclass
class Site:
    """A daemon with a release, and a split before HAProxy."""

    running: Running
    haproxy: FakeHaproxy
    releases: AnsweringReleases

    async def post(self, action: str, **body: object) -> tuple[int, Any]:
        async with self.running.unix.post(f"/api/v1/{action}", json=body) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str) -> Any:
        async with self.running.tcp.get(f"/api/v1/{path}") as answer:
            return await answer.json()

    def said(self, key: Key) -> list[tuple[str, str, str | None]]:
        """Return what people did to an object."""
        events = self.running.store.events(key)
        return [(each.reason, each.message, each.actor) for each in events if each.actor is not None]

    def weights(self) -> dict[str, int]:
        node = self.haproxy.nodes[0]
        return {name: node.state["api_backend", name].share for name in ("blue", "green")}

    @property
    def split(self) -> TrafficSplitSpec:
        spec = self.running.store.state.objects[SPLIT].spec
        assert isinstance(spec, TrafficSplitSpec)
        return spec


@contextlib.asynccontextmanager
async def a_site(folder: Path) -> AsyncIterator[Site]:
    haproxy, releases = FakeHaproxy(a_backend()), AnsweringReleases()
    splits = SplitReconciler(haproxy, TrafficMetrics(CollectorRegistry()), SystemClock().now)
    services = AnsweringReleases()
    async with a_daemon(folder, Release=releases, TrafficSplit=splits, Service=services) as running:
        site = Site(running, haproxy, releases)
        spec = ReleaseSpec(version="1.2.3", services=(NAME,))
        await running.store.commit([Apply(RELEASE, "r" * 32, spec, START)])
        await running.store.commit([Apply(SPLIT, "5" * 32, a_split_to("blue").spec, START)])
        await until(lambda: site.weights() == {"blue": 100, "green": 0})
        await until(lambda: running.store.state.objects[RELEASE].status is not None)
        yield site


def ahead(**span: float) -> str:
    return (SystemClock().now() + timedelta(**span)).isoformat(timespec="seconds")


@pytest.mark.parametrize("verb", VERBS)
async def test_a_wish_is_numbered_told_as_an_event_and_answered_by_the_releases_next_pass(
    tmp_path: Path, verb: str
) -> None:
    async with a_site(tmp_path) as site:
        assert await site.post(f"release/psa-suite/{verb}", reason="green errs") == (200, {"request": 1})
        assert site.said(RELEASE) == [(f"{verb.capitalize()}Requested", "green errs", ME)]
        await until(lambda: site.running.store.state.objects[RELEASE].requests[0].answer is not None)
        shown = await site.get("objects/Release/psa-suite")
        [request] = shown["metadata"]["requests"]
        assert request.pop("at").endswith("Z")
        assert request == {
            "id": 1,
            "verb": verb,
            "actor": ME,
            "reason": "green errs",
            "arguments": {},
            "accepted": verb != "retry",
            "answer": f"{verb}: heard",
        }
        assert await site.post(f"release/psa-suite/{verb}", reason="again") == (200, {"request": 2})


async def test_a_restart_is_asked_of_a_container_that_is_there(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        key = Key("Container", "one")
        await site.running.store.commit([Apply(key, "c" * 32, a_container_spec(), START)])
        assert await site.post("container/one/restart", reason="it leaks") == (200, {"request": 1})
        (request,) = site.running.store.state.objects[key].requests
        assert (request.verb, request.actor, request.reason) == ("restart", ME, "it leaks")
        assert ("RestartRequested", "it leaks", ME) in site.said(key)
        status, answer = await site.post("container/two/restart", reason="it leaks")
        assert (status, answer["error"]["code"]) == (404, "NotFound")


async def test_what_a_wish_is_about_reaches_the_release(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        until_then = ahead(hours=1)
        status, _ = await site.post("release/psa-suite/pause", until=until_then, attempt=3, reason="lunch")
        assert status == 200
        status, _ = await site.post("release/psa-suite/promote", force=True)
        assert status == 200
        asked = site.running.store.state.objects[RELEASE].requests
        assert [each.arguments for each in asked] == [
            {"until": until_then, "attempt": "3"},
            {"force": "true"},
        ]
        said = [message for _, message, _ in site.said(RELEASE)]
        assert said == [f"lunch until {until_then.replace('+00:00', 'Z')}", "no reason given"]


async def test_a_reason_is_one_short_line_without_control_characters(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        await site.post("release/psa-suite/abort", reason="it\x1b[31m is\n bad " + "x" * 999)
        [(_, message, _)] = site.said(RELEASE)
        assert message.startswith("it[31m is bad xxx")
        assert len(message) == 500


async def test_what_a_release_notes_for_itself_is_shown_and_nothing_where_there_is_none(
    tmp_path: Path,
) -> None:
    async with a_site(tmp_path) as site:
        assert (await site.get("objects/Release/psa-suite"))["memo"]["attempt"] == 3
        shown = await site.get(f"objects/{SPLIT.kind}/{SPLIT.name}")
        assert (shown["memo"], shown["metadata"]["requests"]) == (None, [])


@pytest.mark.parametrize(("running", "attempt"), [(4, 3), (None, 1)], ids=["another-one", "none"])
async def test_a_wish_about_an_attempt_that_is_over_is_refused(
    tmp_path: Path, running: int | None, attempt: int
) -> None:
    async with a_site(tmp_path) as site:
        site.releases.attempt = running
        old = site.running.store.state.objects[RELEASE]
        spec = ReleaseSpec(version="1.2.4", services=(NAME,))
        name = Key("Release", "other")
        await site.running.store.commit([Apply(name, "o" * 32, spec, START, origin=old.origin)])
        await until(lambda: site.running.store.state.objects[name].observed_generation == 1)
        commits = site.running.store.commits
        status, told = await site.post("release/other/promote", attempt=attempt)
        assert (status, told["error"]["code"]) == (409, "OtherAttempt")
        has = f"attempt {running}" if running else "no attempt"
        assert told["error"]["message"] == f"Release/other is at {has} by now, not at {attempt}"
        assert site.running.store.commits == commits


async def test_an_unknown_release_is_404_and_an_unknown_verb_400_with_what_there_is(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        commits = site.running.store.commits
        status, told = await site.post("release/psa-suit/promote")
        assert (status, told["error"]["code"]) == (404, "NotFound")
        assert told["error"]["message"] == "there is no Release/psa-suit; of this kind there is psa-suite"
        status, told = await site.post("release/psa-suite/undo")
        assert (status, told["error"]["code"]) == (400, "BadVerb")
        assert told["error"]["hint"] == ", ".join(VERBS)
        assert site.running.store.commits == commits


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"until": "soon"}, "BadTime"),
        ({"until": "2026-01-01T00:00:00Z"}, "BadTime"),
        ({"attempt": "3"}, "BadNumber"),
        ({"attempt": True}, "BadNumber"),
        ({"attempt": 0}, "BadNumber"),
        ({"force": "yes"}, "BadFlag"),
    ],
)
async def test_a_wish_that_is_not_clear_is_refused(
    tmp_path: Path, body: dict[str, object], code: str
) -> None:
    async with a_site(tmp_path) as site:
        status, told = await site.post("release/psa-suite/pause", **body)
        assert (status, told["error"]["code"]) == (400, code)
        assert site.running.store.state.objects[RELEASE].requests == ()


@pytest.mark.parametrize(
    ("asked", "weights"),
    [
        ({"green": 100}, {"blue": 0, "green": 100}),
        ({"blue": 30}, {"blue": 30, "green": 70}),
        ({"blue": 0}, {"blue": 0, "green": 100}),
        ({"blue": 256, "green": 1}, {"blue": 256, "green": 1}),
    ],
)
async def test_traffic_is_set_by_hand_and_given_back(
    tmp_path: Path, asked: dict[str, int], weights: dict[str, int]
) -> None:
    async with a_site(tmp_path) as site:
        end = ahead(minutes=30)
        status, shown = await site.post("traffic", service=NAME, until=end, reason="green errs", **asked)
        assert status == 200
        assert shown["spec"]["override"] == {
            **weights,
            "until": end.replace("+00:00", "Z"),
            "reason": "green errs",
            "actor": ME,
        }
        await until(lambda: site.weights() == weights)
        status, shown = await site.post("traffic/clear", service=NAME, reason="all well")
        assert (status, shown["spec"].get("override")) == (200, None)
        await until(lambda: site.weights() == {"blue": 100, "green": 0})
        text = f"blue {weights['blue']}, green {weights['green']} until {end.replace('+00:00', 'Z')}"
        assert site.said(SPLIT) == [
            ("TrafficSet", f"{text}: green errs", ME),
            ("TrafficCleared", "all well", ME),
        ]


async def test_clearing_what_nobody_has_set_changes_nothing(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        commits = site.running.store.commits
        assert (await site.post("traffic/clear", service=NAME))[0] == 200
        assert site.running.store.commits == commits


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"until": None}, "BadTime"),
        ({"until": "2026-01-01T00:00:00Z"}, "BadTime"),
        ({"until": ahead(hours=25)}, "BadTime"),
        ({"blue": None}, "BadWeight"),
        ({"blue": 101}, "BadWeight"),
        ({"blue": -1, "green": 1}, "BadWeight"),
        ({"blue": 257, "green": 1}, "BadWeight"),
        ({"blue": 1.5}, "BadWeight"),
        ({"blue": True}, "BadWeight"),
        ({"service": None}, "BadName"),
    ],
)
async def test_traffic_that_is_not_clear_is_refused(
    tmp_path: Path, change: dict[str, object], code: str
) -> None:
    async with a_site(tmp_path) as site:
        body = {"service": NAME, "blue": 100, "until": ahead(minutes=5), **change}
        status, told = await site.post("traffic", **body)
        assert (status, told["error"]["code"]) == (400, code)
        assert site.split.override is None


async def test_nobody_can_be_left_without_a_server(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        status, told = await site.post("traffic", service=NAME, blue=0, green=0, until=ahead(minutes=5))
        assert (status, told["error"]["code"]) == (409, "NobodyLeft")
        assert site.split.override is None


async def test_what_haproxy_cannot_do_is_refused_with_its_reason(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        site.haproxy.nodes[0].level = "operator"
        status, told = await site.post("traffic", service=NAME, green=100, until=ahead(minutes=5))
        assert (status, told["error"]["code"]) == (409, "SocketNotAdmin")
        assert site.split.override is None


async def test_a_haproxy_that_is_away_gets_it_when_it_is_back(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        site.haproxy.nodes[0].refuses = TransientError("gone")
        status, _ = await site.post("traffic", service=NAME, green=100, until=ahead(minutes=5))
        assert status == 200
        site.haproxy.nodes[0].refuses = None
        await until(lambda: site.weights() == {"blue": 0, "green": 100})


@pytest.mark.parametrize("action", ["traffic", "traffic/clear"])
async def test_a_service_without_a_split_is_404(tmp_path: Path, action: str) -> None:
    async with a_site(tmp_path) as site:
        status, told = await site.post(action, service="psa-crm", green=100, until=ahead(minutes=5))
        assert (status, told["error"]["code"]) == (404, "NotFound")
        assert told["error"]["message"] == "there is no Service/psa-crm; of this kind there is none"
        await site.running.store.commit([Apply(Key("Service", "psa-crm"), "c" * 32, a_service_spec(), START)])
        _, told = await site.post(action, service="psa-crm", green=100, until=ahead(minutes=5))
        assert (
            told["error"]["message"] == "Service/psa-crm has no backend: no traffic of HAProxy's goes to it"
        )
        await site.running.store.commit([Orphan(SPLIT, START)])
        status, told = await site.post(action, service=NAME, green=100, until=ahead(minutes=5))
        assert (status, told["error"]["code"]) == (404, "NotFound")


async def test_a_freeze_is_shown_until_it_is_lifted_and_releases_hear_of_both(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        assert (await site.get("status"))["freeze"] is None
        end, looks = ahead(hours=2), site.releases.looks
        status, shown = await site.post("freeze", until=end, reason="Christmas")
        expected = {"until": end.replace("+00:00", "Z"), "reason": "Christmas", "actor": ME}
        assert (status, shown["freeze"]) == (200, expected)
        assert (await site.get("status"))["freeze"] == expected
        await until(lambda: site.releases.looks > looks)
        looks = site.releases.looks
        status, shown = await site.post("thaw", reason="over")
        assert (status, shown["freeze"]) == (200, None)
        await until(lambda: site.releases.looks > looks)
        assert site.said(Key("Daemon", "psa-reconciler")) == [
            ("Frozen", f"until {end.replace('+00:00', 'Z')}: Christmas", ME),
            ("Thawed", "over", ME),
        ]
        assert site.running.store.state.value(FREEZE) == ""


async def test_a_freeze_that_has_run_out_is_none(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        text = '{"until": "2026-01-01T00:00:00Z", "reason": "then", "actor": "uid 0"}'
        await site.running.store.commit([Assign(FREEZE, text)])
        commits = site.running.store.commits
        assert (await site.get("status"))["freeze"] is None
        assert (await site.post("thaw"))[0] == 200
        assert site.running.store.commits == commits


@pytest.mark.parametrize("end", [None, "2026-01-01T00:00:00Z", "soon"])
async def test_a_freeze_has_an_end_that_lies_ahead(tmp_path: Path, end: str | None) -> None:
    async with a_site(tmp_path) as site:
        status, told = await site.post("freeze", until=end, reason="for ever")
        assert (status, told["error"]["code"]) == (400, "BadTime")
        assert site.running.store.state.value(FREEZE) is None
