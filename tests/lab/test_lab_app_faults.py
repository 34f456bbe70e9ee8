import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import pytest
from pydantic import ValidationError

from lab.app_faults import AppFault, DatabaseFault, InForce, Rule
from lab.database import Database
from lab.site import Manner, Site
from tests.lab.app_sites import a_site, a_slot, ask, body, get, served, status


def _seeded() -> random.Random:
    return random.Random(7)  # noqa: S311 - the same in each run


def _statuses(site: Site, count: int, *, age_s: float = 0.0) -> Sequence[str]:
    return [site.react("/", age_s).counted for _ in range(count)]


def test_an_error_rate_is_a_share_of_the_requests() -> None:
    site = a_site(a_slot(), AppFault(error_rate=0.05), draw=_seeded().random)
    seen = Counter(_statuses(site, 20_000))
    assert 0.045 < seen["500"] / 20_000 < 0.055
    assert seen.keys() == {"200", "500"}


def test_errors_in_bursts_have_the_same_share_and_the_length_that_was_asked_for() -> None:
    site = a_site(a_slot(), AppFault(error_rate=0.05, error_burst=5), draw=_seeded().random)
    seen = _statuses(site, 100_000)
    runs = [len([*run]) for failed, run in groupby(seen, lambda what: what == "500") if failed]
    assert 0.045 < seen.count("500") / len(seen) < 0.055
    assert 4.5 < sum(runs) / len(runs) < 5.5


def test_a_share_of_slow_requests_leaves_the_others_quick() -> None:
    site = a_site(a_slot(), AppFault(latency=2, slow_share=0.1), draw=_seeded().random)
    delays = Counter(site.react("/", 0).delay_s for _ in range(10_000))
    assert delays.keys() == {0.0, 2.0}
    assert 900 < delays[2.0] < 1100


def test_a_leak_grows_with_the_requests_since_the_start_of_the_container() -> None:
    fault = AppFault(leak_requests=1000, leak_errors=0.5, leak_latency=4)
    site = a_site(a_slot(), fault, draw=_seeded().random)
    first = _statuses(site, 500)
    assert 0.08 < first.count("500") / 500 < 0.18
    assert site.react("/", 0).delay_s == pytest.approx(2, abs=0.01)
    _statuses(site, 1000)
    later = _statuses(site, 2000)
    assert 0.45 < later.count("500") / 2000 < 0.55
    assert a_site(a_slot(), fault).react("/", 0).delay_s == pytest.approx(0.004)


def test_a_leak_grows_with_the_seconds_since_the_start_of_the_container() -> None:
    site = a_site(a_slot(), AppFault(leak_seconds=60), draw=_seeded().random)
    assert Counter(_statuses(site, 100, age_s=0)) == {"200": 100}
    assert 35 < Counter(_statuses(site, 100, age_s=30))["500"] < 65
    assert Counter(_statuses(site, 100, age_s=90)) == {"500": 100}


def test_a_fault_of_a_path_leaves_the_others_alone() -> None:
    site = a_site(a_slot(), AppFault(error_rate=1, path="/orders"))
    assert site.react("/orders/7", 0).counted == "500"
    assert site.react("/", 0).counted == "200"


def test_an_error_can_be_one_of_the_clients() -> None:
    assert a_site(a_slot(), AppFault(error_rate=1, error_status=404)).react("/", 0).counted == "404"


def test_a_share_hangs() -> None:
    site = a_site(a_slot(), AppFault(hang=0.25), draw=_seeded().random)
    manners = Counter(site.react("/", 0).manner for _ in range(4000))
    assert 900 < manners[Manner.HANG] < 1100
    assert manners.keys() == {Manner.HANG, Manner.WHOLE}


def test_several_faults_act_at_once() -> None:
    site = a_site(a_slot(), AppFault(latency=1), AppFault(latency=2), AppFault(error_rate=1))
    met = site.react("/", 0)
    assert (met.delay_s, met.counted) == (3, "500")


def test_health_knows_none_of_what_only_requests_suffer() -> None:
    fault = AppFault(error_rate=1, hang=1, latency=3, reset=1, garbage=1, slow_body=1, leak_seconds=1)
    met = a_site(a_slot(), fault).react("/health", 100)
    assert met.answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (met.manner, met.delay_s, met.body_s, met.counted) == (Manner.WHOLE, 0, 0, "")


def test_health_can_say_another_version() -> None:
    site = a_site(a_slot(), AppFault(health_version="9.9.9"))
    assert body(site.react("/health", 0).answer) == {"status": "healthy", "version": "9.9.9"}
    assert body(site.react("/", 0).answer)["version"] == "1.0.0"


def test_every_answer_names_who_gives_it() -> None:
    for fault in (AppFault(), AppFault(error_rate=1), AppFault(unhealthy=True)):
        site = a_site(a_slot(), fault, version="1.2.0")
        for path in ("/", "/health"):
            assert b"\r\nX-Served-By: psa-api-gateway blue 1.2.0\r\n" in site.react(path, 0).answer


@pytest.mark.parametrize(
    "fault", [{"error_rate": 1.1}, {"hang": -0.1}, {"error_status": 200}, {"latency": -1}, {"eror_rate": 1}]
)
def test_a_fault_that_cannot_be_is_refused(fault: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        AppFault.model_validate(fault)


async def test_a_reset_cuts_an_answer_in_its_middle(number: int) -> None:
    host = f"127.{number}.1.1"
    async with served(a_site(a_slot(host), AppFault(reset=1))) as serving:
        reader, writer = await asyncio.open_connection(host, 3000)
        writer.write(get("/"))
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(10_000)
        writer.close()
    assert serving.site.counts == {"reset": 1}


async def test_garbage_is_no_http(number: int) -> None:
    host = f"127.{number}.1.1"
    async with served(a_site(a_slot(host), AppFault(garbage=1))) as serving:
        reader, writer = await asyncio.open_connection(host, 3000)
        writer.write(get("/"))
        assert not (await reader.read(-1)).startswith(b"HTTP/")
        writer.close()
    assert serving.site.counts == {"garbage": 1}


async def test_a_slow_body_comes_piece_by_piece_behind_its_head(number: int) -> None:
    host = f"127.{number}.1.1"
    async with served(a_site(a_slot(host), AppFault(slow_body=0.3))):
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection(host, 3000)
        before = loop.time()
        writer.write(get("/") + get("/", close=True))
        await reader.readuntil(b"\r\n\r\n")
        assert loop.time() - before < 0.2
        rest = await reader.read(-1)
        assert loop.time() - before >= 0.6
        writer.close()
    assert rest.count(b"HTTP/1.1 200") == 1
    assert rest.endswith(b"}")


async def test_requests_behind_a_slow_one_wait_for_it(number: int) -> None:
    host = f"127.{number}.1.1"
    async with served(a_site(a_slot(host), AppFault(latency=0.05, path="/slow"))):
        answers = await ask(host, get("/slow"), get("/health"), get("/", close=True))
    assert ["status" in body(answer) for answer in answers] == [False, True, False]


async def test_many_pipelined_requests_are_all_answered(number: int) -> None:
    host = f"127.{number}.1.1"
    async with served(a_site(a_slot(host))):
        answers = await ask(host, *[get("/")] * 5000, get("/", close=True))
    assert Counter(map(status, answers)) == {200: 5001}


def test_a_database_that_is_down_fails_every_request_and_no_health_check() -> None:
    database = Database()
    database.fault = DatabaseFault(down=True)
    blue, green = (a_site(a_slot(service=name), database=database) for name in ("psa-crm", "psa-tickets"))
    assert [site.react("/", 0).counted for site in (blue, green)] == ["500", "500"]
    assert blue.react("/health", 0).answer.startswith(b"HTTP/1.1 200 ")
    database.fault = DatabaseFault(down=True, services=("psa-crm",))
    assert [site.react("/", 0).counted for site in (blue, green)] == ["500", "200"]
    database.fault = DatabaseFault(latency=2, services=("psa-tickets",))
    assert [site.react("/", 0).delay_s for site in (blue, green)] == [0, 2]


def test_a_version_that_leaks_connections_takes_them_from_both_colours_until_its_end() -> None:
    database = Database()
    database.fault = DatabaseFault(connections=10)
    stable = a_site(a_slot(ctid=100), database=database)
    candidate = a_site(a_slot(ctid=1100), AppFault(leak_connections=1), database=database)
    assert Counter(_statuses(candidate, 15)) == {"200": 10, "500": 5}
    refused = stable.react("/", 0)
    assert refused.counted == "500"
    assert "too many clients already (10 of 10)" in str(body(refused.answer))
    database.give_back(1100)
    assert stable.react("/", 0).counted == "200"


def _in_force(*rules: Rule) -> InForce:
    in_force = InForce()
    for rule in rules:
        in_force = in_force.with_rule(rule)
    return in_force


_SICK = AppFault(error_rate=1)


def test_a_rule_concerns_those_that_it_names() -> None:
    of_version = _in_force(Rule(service="psa-crm", version="1.2.0", fault=_SICK))
    assert of_version.faults_of("psa-crm", "green", "1.2.0") == (_SICK,)
    assert of_version.faults_of("psa-crm", "green", "1.1.0") == ()
    assert of_version.faults_of("psa-tickets", "green", "1.2.0") == ()
    of_color = _in_force(Rule(service="all", color="blue", fault=_SICK))
    assert of_color.faults_of("psa-tickets", "blue", "3") == (_SICK,)
    assert of_color.faults_of("psa-tickets", "green", "3") == ()


def test_an_order_takes_the_place_of_the_one_with_its_scope_and_no_other() -> None:
    slow = AppFault(latency=1)
    in_force = _in_force(
        Rule(service="psa-crm", version="1.2.0", fault=_SICK),
        Rule(service="psa-crm", fault=_SICK),
        Rule(service="psa-crm", fault=slow),
    )
    assert in_force.faults_of("psa-crm", "blue", "1.2.0") == (_SICK, slow)


@pytest.mark.parametrize(
    ("ended", "left"),
    [
        (Rule(service="all"), []),
        (Rule(service="psa-crm"), ["psa-tickets"]),
        (Rule(service="psa-crm", version="1.2.0"), ["psa-crm", "psa-crm blue", "psa-tickets"]),
        (Rule(service="psa-crm", color="blue"), ["psa-crm", "psa-crm 1.2.0", "psa-tickets"]),
        (Rule(service="psa-crm", color="green"), ["psa-crm", "psa-crm 1.2.0", "psa-crm blue", "psa-tickets"]),
    ],
)
def test_an_order_without_a_fault_ends_what_it_includes(ended: Rule, left: list[str]) -> None:
    in_force = _in_force(
        Rule(service="psa-crm", fault=_SICK),
        Rule(service="psa-crm", version="1.2.0", fault=_SICK),
        Rule(service="psa-crm", color="blue", fault=_SICK),
        Rule(service="psa-tickets", fault=_SICK),
        ended,
    )
    assert sorted(str(rule).partition(":")[0] for rule in in_force.rules) == left


def test_a_rule_reads_like_a_sentence() -> None:
    rule = Rule(service="psa-crm", version="1.2.0", fault=AppFault(error_rate=0.05, refuse=True))
    assert str(rule) == "psa-crm 1.2.0: refuse, error rate 0.05"
