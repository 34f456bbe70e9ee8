"""``python -m lab fault elasticsearch``: what happens to an index."""

from collections.abc import Mapping
from typing import Final

import click
from pydantic import JsonValue

from lab.data_fault_command import WELL, Action, fault_command
from lab.data_systems import elasticsearch_of
from lab.elasticsearch import ElasticsearchError
from lab.layout import Lab

#: How many requests are refused: for as long as anybody will look.
_MANY: Final = 1_000_000


def _control(lab: Lab, what: str, **given: JsonValue) -> None:
    try:
        elasticsearch_of(lab).control(what, **given)
    except (ElasticsearchError, OSError) as exc:
        raise click.ClickException(f"Elasticsearch's stand-in: {exc}") from None


def _flood(lab: Lab) -> None:
    _control(lab, "flood")


def _be_busy(lab: Lab) -> None:
    _control(lab, "faults", busy=_MANY)


def _turn_red(lab: Lab) -> None:
    _control(lab, "faults", color="red")


def _lose_master(lab: Lab) -> None:
    _control(lab, "faults", no_master=True)


def _well(lab: Lab) -> None:
    _control(lab, "faults", busy=0, color=None, no_master=False)
    _control(lab, "dry")


ACTIONS: Final[Mapping[str, Action]] = {
    "read-only": Action("its disk is over the flood stage: no index takes writes", _flood),
    "busy": Action("what would change something is answered 429", _be_busy),
    "red": Action("a primary shard is gone: the cluster is red", _turn_red),
    "no-master": Action("no master is elected: 503", _lose_master),
    WELL: Action("all of these are over", _well),
}
elasticsearch = fault_command(
    "elasticsearch", "Do something to Elasticsearch's stand-in, or let it be well again.", ACTIONS
)
