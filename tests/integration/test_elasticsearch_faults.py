"""A cluster that is red, full, busy, without a master, killed, or not ours to come to. Over HTTP."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from crds.meta import ConditionType, Truth
from lab.elasticsearch import LabElasticsearch
from reconcilers.contract import NotSentError, PermanentError, TransientError
from reconcilers.elasticsearch.client import Request
from reconcilers.transports.elasticsearch import ElasticsearchTransport
from tests.builders_elasticsearch import KEY, an_elasticsearch, by_hand, drive
from tests.builders_haproxy import said, verdict
from tests.builders_tls import make_authority
from tests.real_elasticsearch import PASSWORD, USER, a_stand_in, as_user, listening, transport
from tests.real_haproxy import refusing_address

TWO: dict[str, Any] = {
    "indices": {"v1": {"settings": {"number_of_replicas": 0, "refresh_interval": "5s"}}},
    "aliases": {"a": {"indices": ["v1"], "writeIndex": "v1"}},
}


@pytest.fixture(scope="module")
def server() -> Iterator[LabElasticsearch]:
    with a_stand_in() as server:
        yield server


@pytest.fixture
async def wire(server: LabElasticsearch) -> AsyncIterator[ElasticsearchTransport]:
    server.control("reset")
    wire = transport(server)
    yield wire
    await wire.close()


async def test_f56_red_freezes_all_but_what_adds(
    server: LabElasticsearch, wire: ElasticsearchTransport
) -> None:
    driven = drive(wire, an_elasticsearch(**TWO))
    await driven.quiet()
    await by_hand(wire, "PUT", "v1/_settings", {"refresh_interval": "1s"})
    server.control("faults", color="red")
    driven.ask_for(**TWO, absent={"indices": ["v0"]}, lifecyclePolicies={}, allow=["delete-index"])
    await by_hand(wire, "PUT", "v0", {})

    plan = await driven.desk.one_pass(KEY)
    assert plan.steps == ()
    assert plan.waiting is not None
    assert "only what adds is done" in plan.waiting
    server.control("faults", color=None)
    await driven.quiet()
    assert await by_hand(wire, "GET", "v0") is None


async def test_f56_without_a_master_nothing_is_said_or_changed_until_there_is_one(
    server: LabElasticsearch, wire: ElasticsearchTransport
) -> None:
    driven = drive(wire, an_elasticsearch(**TWO))
    server.control("faults", no_master=True)
    plan = await driven.desk.one_pass(KEY)
    ready = verdict(plan, ConditionType.READY)
    assert ready is not None
    assert (ready.status, ready.reason) == (Truth.FALSE, "NoMaster")
    assert plan.steps == ()
    assert plan.recheck_after is not None
    server.control("faults", no_master=False)
    assert (await driven.quiet()).blocked is None


async def test_f57_429_says_how_long_it_asks_to_be_left_alone(
    server: LabElasticsearch, wire: ElasticsearchTransport
) -> None:
    driven = drive(wire, an_elasticsearch(**TWO))
    server.control("faults", busy=1, retry_after_s=7)
    with pytest.raises(TransientError, match="it asks to wait 7 s") as caught:
        await driven.desk.one_pass(KEY)
    assert caught.value.retry_after_s == 7.0
    assert (await driven.quiet()).steps == ()


async def test_f58_an_index_that_a_full_disk_made_read_only_is_reported_and_never_opened(
    server: LabElasticsearch, wire: ElasticsearchTransport
) -> None:
    driven = drive(wire, an_elasticsearch(**TWO))
    await driven.quiet()
    await by_hand(wire, "PUT", "v1/_settings", {"refresh_interval": "1s"})
    server.control("flood")
    driven.sent.clear()
    plan = await driven.desk.one_pass(KEY)

    found = verdict(plan, ConditionType.DEGRADED)
    assert found is not None
    assert found.reason == "FloodStage"
    assert "v1: read-only since a disk passed the flood-stage watermark" in found.message
    assert plan.waiting == "v1 read-only: “set index.refresh_interval 1s → 5s of the index v1” waits"
    assert driven.changes == []
    server.control("dry")
    await driven.quiet()
    assert [each.segments for each in driven.changes] == [("v1", "_settings")]


async def test_a_block_by_hand_is_reported_too(wire: ElasticsearchTransport) -> None:
    driven = drive(wire, an_elasticsearch(**TWO))
    await driven.quiet()
    for block, reason in (("write", "WritesBlocked"), ("read_only", "ReadOnlyIndex")):
        await by_hand(wire, "PUT", "v1/_settings", {f"index.blocks.{block}": True})
        found = verdict(await driven.desk.one_pass(KEY), ConditionType.DEGRADED)
        assert found is not None
        assert found.reason == reason


async def test_killed_in_the_middle_of_an_apply_it_is_whole_again_later() -> None:
    with a_stand_in() as server:
        wire = transport(server)
        driven = drive(wire)
        steps = (await driven.look()).steps
        for step in steps[:2]:
            await driven.desk.reconcilers[KEY.kind].apply(step)
        server.kill()
        with pytest.raises(NotSentError, match="nobody listens there"):
            await driven.desk.reconcilers[KEY.kind].apply(steps[2])
        with pytest.raises(NotSentError):
            await driven.look()
        await asyncio.to_thread(server.start)

        assert len((await driven.look()).steps) == len(steps) - 2
        plan = await driven.quiet()
        assert (plan.steps, plan.blocked) == ((), None)
        await wire.close()


async def test_an_answer_that_is_lost_is_unknown_and_the_next_look_tells() -> None:
    async with listening(web.Response, delay_s=30) as url:
        wire = ElasticsearchTransport("es", [url], deadline_s=1.0)
        with pytest.raises(TransientError, match=r"no answer within 1 s") as caught:
            await wire.ask(Request("GET", ()))
        assert not isinstance(caught.value, NotSentError)
        await wire.close()


async def test_wrong_and_missing_credentials_are_told_and_not_shown() -> None:
    with a_stand_in(accounts={USER: PASSWORD}) as server:
        for options in (as_user("wrong"), {}, {"read_password": as_user()["read_password"]}):
            wire = transport(server, **options)
            with pytest.raises(PermanentError) as caught:
                await wire.ask(Request("GET", ()))
            assert caught.value.reason == "WrongCredentials"
            assert PASSWORD not in str(caught.value)
            await wire.close()
        wire = transport(server, **as_user())
        assert (await wire.ask(Request("GET", ()))).status == 200
        await wire.close()


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (
            403,
            {"type": "security_exception", "reason": "action [x] is unauthorized for user"},
            "MissingPrivilege",
        ),
        (
            400,
            {"type": "illegal_argument_exception", "reason": "mapper [a] cannot be changed"},
            "MappingConflict",
        ),
        (400, {"type": "parse_exception", "reason": "what is this"}, "RequestRefused"),
    ],
)
async def test_a_refusal_has_its_reason(status: int, error: dict[str, str], reason: str) -> None:
    body = {"error": error, "status": status}
    async with listening(lambda: web.json_response(body, status=status)) as url:
        wire = ElasticsearchTransport("es", [url])
        with pytest.raises(PermanentError, match=error["reason"].partition(" [")[0]) as caught:
            await wire.ask(Request("PUT", ("v1",), (), "{}"))
        assert caught.value.reason == reason
        await wire.close()


async def test_who_speaks_something_else_is_no_elasticsearch() -> None:
    async with listening(lambda: web.Response(text="<html>hello</html>")) as url:
        wire = ElasticsearchTransport("es", [url])
        with pytest.raises(TransientError, match="something else answers there"):
            await wire.ask(Request("GET", ()))
        await wire.close()


async def test_json_of_something_else_is_no_answer() -> None:
    async with listening(lambda: web.json_response({"hello": "world"})) as url:
        wire = ElasticsearchTransport("es", [url])
        with pytest.raises(PermanentError) as caught:
            await drive(wire, an_elasticsearch(**TWO)).look()
        assert caught.value.reason == "UnexpectedAnswer"
        await wire.close()


async def test_a_node_that_is_gone_is_passed_over(server: LabElasticsearch) -> None:
    server.control("reset")
    with refusing_address() as gone:
        wire = ElasticsearchTransport("es", [f"http://{gone}", server.url])
        assert (await wire.ask(Request("GET", ()))).status == 200
        await wire.close()
        alone = ElasticsearchTransport("es", [f"http://{gone}"])
        with pytest.raises(NotSentError, match="nobody listens there"):
            await alone.ask(Request("GET", ()))
        await alone.close()


@pytest.mark.parametrize("name", ["..", "a/b", "a%2Fb", "a b", "", ".", "a\n", "a?b", "a,..", "-a", "ü"])
async def test_a_hostile_name_never_becomes_part_of_a_path(wire: ElasticsearchTransport, name: str) -> None:
    with pytest.raises(PermanentError) as caught:
        await wire.ask(Request("DELETE", (name,)))
    assert caught.value.reason == "HostileName"


async def test_tls_is_verified(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.certificate, authority.key)

    async with listening(lambda: web.json_response({}), tls=context) as url:
        secure = url.replace("http://", "https://")
        known = ElasticsearchTransport("es", [secure], ca_file=authority.ca)
        assert (await known.ask(Request("GET", ()))).status == 200
        stranger = ElasticsearchTransport("es", [secure])
        missing = ElasticsearchTransport("es", [secure], ca_file=tmp_path / "nowhere")
        for wire in (stranger, missing):
            with pytest.raises(PermanentError) as caught:
                await wire.ask(Request("GET", ()))
            assert caught.value.reason == "TlsFailed"
        for wire in (known, stranger, missing):
            await wire.close()


async def test_the_plan_of_a_new_cluster_is_read_as_sentences(wire: ElasticsearchTransport) -> None:
    assert said(await drive(wire, an_elasticsearch(**TWO)).look()) == ["make the index v1 with the alias a"]
