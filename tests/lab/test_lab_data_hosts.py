"""The lab's PostgreSQL ends and begins with its containers: what is done after what was seen."""

from collections.abc import Mapping

import pytest

from lab.data_hosts import Hosts

HERE, THERE = "127.1.30.10", "127.1.30.11"


@pytest.mark.parametrize(
    ("seen", "orders"),
    [
        (({}, {HERE: None}, {HERE: 1.0}), []),
        (({HERE: 1.0}, {HERE: 1.0}), []),
        (({HERE: 1.0}, {HERE: None}, {HERE: 2.0}), ["stop", "start"]),
        (({HERE: 1.0}, {HERE: 2.0}), ["restart"]),
        (({HERE: 1.0}, {HERE: None}, {HERE: None}), ["stop"]),
        (({HERE: 1.0}, {}, {HERE: 1.0}), []),
        (({HERE: 1.0}, {HERE: None}, {HERE: 2.0}, {HERE: None}, {HERE: 3.0}), ["stop", "start"] * 2),
        (({THERE: 1.0}, {THERE: 2.0}), []),
    ],
    ids=["born", "steady", "off-and-on", "on-again", "off", "gone-for-a-while", "twice", "somebody-else"],
)
def test_a_server_does_what_its_container_does_once_that_was_seen(
    seen: tuple[Mapping[str, float | None], ...], orders: list[str]
) -> None:
    hosts = Hosts([HERE])
    assert [order for found in seen for order in hosts.follow(found)] == [(each, HERE) for each in orders]
