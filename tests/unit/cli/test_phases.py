"""psactl has its own copy of the table of phases, which must not differ."""

from collections.abc import Iterable
from enum import Enum

from crds.release import Phase, ReleaseSpec
from daemon.cli.release import phases
from daemon.cli.release.facts import release
from reconcilers.release import phases as table
from tests.builders_cli_release import WAY, a_release


def test_the_phases_are_those_of_the_model() -> None:
    assert {each.name: each.value for each in phases.Phase} == {each.name: each.value for each in Phase}


def test_the_deadlines_are_those_of_the_table() -> None:
    told = {phase.value: seconds for phase, seconds in phases.DEADLINES_S.items()}
    assert told == {phase.value: limit.total_seconds() for phase, limit in table.DEADLINES.items()}


def test_the_groups_are_those_of_the_table() -> None:
    def values(found: Iterable[Enum]) -> set[str]:
        return {each.value for each in found}

    assert values(phases.ENDED) == values(table.ENDED)
    assert values(phases.PROMOTED) == values(table.PROMOTED)
    assert values(phases.SERVING) == values(table.WATCHED)


def test_the_strip_has_every_phase_of_a_release_that_goes_well() -> None:
    way = [phase.value for phase in (*phases.PREPARING, *phases.SERVING, phases.Phase.COMPLETED)]
    assert way == [phase.value for phase in WAY[1:]]


def test_the_longest_watch_is_the_models() -> None:
    for spec in ({"watch": "7m"}, {"watch": "7m", "watchMax": "8m"}):
        found = release(a_release(spec=spec)).wish
        model = ReleaseSpec.model_validate({"version": "1", "services": ["psa-crm"], **spec})
        assert found.longest_watch_s == model.longest_watch.total_seconds()
