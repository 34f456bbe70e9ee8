"""One object asks another for something: a request of its own, once under each name, told and answered."""

import asyncio

import pytest

from crds.meta import Key
from crds.release import ReleaseSpec
from daemon.store.operations import Ask as Asked
from daemon.store.operations import Reply
from reconcilers.contract import Ask, Plan, Resource, View
from tests.builders import START
from tests.unit.engine.test_amend import OWNER, RELEASE, Site, a_site

pytestmark = pytest.mark.looptime(end=4 * 3600)

NAME = "suite.restart.1"


def asking(name: str = NAME, key: Key = OWNER) -> Plan[str]:
    return Plan(writes=(Ask(key, "restart", name, "to see the light"),))


def told(site: Site, key: Key = OWNER) -> list[tuple[str, str, str | None]]:
    return [(each.reason, each.message, each.actor) for each in site.store.events(key) if each.actor]


async def test_what_is_asked_is_a_request_of_the_object_that_asks_and_an_event_of_the_other() -> None:
    async with a_site(lambda _release, _view: asking()) as site:
        await site.container(OWNER, cores=1)
        await site.release()
        await asyncio.sleep(5)
        (request,) = site.store.state.objects[OWNER].requests
        assert (request.id, request.verb, request.actor) == (1, "restart", "Release/suite")
        assert (request.reason, request.arguments, request.answer) == (
            "to see the light",
            {"name": NAME},
            None,
        )
        assert told(site) == [("RestartRequested", "to see the light", "Release/suite")]


async def test_it_is_asked_once_under_a_name_however_often_it_is_written_and_whatever_was_answered() -> None:
    async with a_site(lambda _release, _view: asking()) as site:
        await site.container(OWNER, cores=1)
        await site.release()
        await asyncio.sleep(600)
        assert len(site.releases.looks) > 5
        assert len(site.store.state.objects[OWNER].requests) == 1
        await site.store.commit([Reply(OWNER, 1, accepted=False, message="refused: no")])
        await asyncio.sleep(600)
        assert [each.answer for each in site.store.state.objects[OWNER].requests] == ["refused: no"]
        assert len(told(site)) == 1


async def test_another_name_is_another_request_and_somebody_elses_is_none_of_ours() -> None:
    names = iter((NAME, "suite.restart.2"))

    def given(_release: Resource[ReleaseSpec], _view: View) -> Plan[str]:
        return asking(next(names, NAME))

    async with a_site(given) as site:
        await site.container(OWNER, cores=1)
        await site.store.commit([Asked(OWNER, "restart", "uid 0", START, "", {"name": NAME})])
        await site.release()
        await asyncio.sleep(200)
        actors = [(each.actor, each.arguments["name"]) for each in site.store.state.objects[OWNER].requests]
        assert actors == [("uid 0", NAME), ("Release/suite", NAME), ("Release/suite", "suite.restart.2")]


async def test_what_is_not_there_is_asked_nothing_and_the_rest_of_the_pass_is_kept() -> None:
    async with a_site(lambda _release, _view: asking()) as site:
        await site.release()
        await asyncio.sleep(5)
        assert OWNER not in site.store.state.objects
        assert site.store.state.objects[RELEASE].is_ready()
        assert told(site) == []
