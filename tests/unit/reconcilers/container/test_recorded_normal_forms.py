"""What real Proxmox VE 8.4 and 9.2 answered is read as equal to what asked for it: nothing drifts for ever.

``recorded/config.txt`` is an excerpt of the recordings, word for word; ``##`` lines name the parts.
"""

import json
from pathlib import Path

import pytest

from reconcilers.container.client import parse_config, parse_container
from reconcilers.container.settings import differences, parse_tags
from reconcilers.transports.proxmox import Json
from tests.builders_container import UID, a_container

GIB = 1024**3
RECORDED = Path(__file__).parent / "recorded" / "config.txt"


def answers(part: str) -> list[Json]:
    """Return the data of one part's successful answers, in order; a PENDING line is data itself."""
    found: list[Json] = []
    _, _, rest = RECORDED.read_text().partition(f"## {part}\n")
    for line in rest.partition("\n## ")[0].splitlines():
        if line.startswith("<< 200 "):
            found.append(json.loads(line[line.index("{") :])["data"])
        elif line.startswith("PENDING "):
            found.append(json.loads(line.removeprefix("PENDING ")))
    assert found, part
    return found


def mapping(answer: Json) -> dict[str, Json]:
    assert isinstance(answer, dict)
    return answer


def rows(answer: Json) -> list[dict[str, Json]]:
    assert isinstance(answer, list)
    return [mapping(row) for row in answer]


@pytest.mark.parametrize(
    ("part", "spec"),
    [
        (
            "created 8.4",
            {
                "hostname": "ct104",
                "memory": "64Mi",
                "swap": "512Mi",
                "features": {"keyctl": True, "nesting": True, "fuse": False},
                "startup": {"order": 2, "up": "5s", "down": "6s"},
                "onBoot": True,
                "protection": True,
                "searchdomain": "ex.org",
                "description": "a: b%c#d\nöß\ttab",
                "tags": ["zed", "alpha", "beta"],
                "cores": None,
            },
        ),
        (
            "static address 8.4",
            {
                "hostname": "ct101",
                "memory": "128Mi",
                "swap": 0,
                "cores": 1,
                "description": "line1\nline2 ü\n",
                "tags": ["c", "b", "a"],
                "onBoot": False,
                "protection": False,
                "features": {"nesting": False},
                "network": {
                    "bridge": "vmbr0",
                    "address": "10.77.0.101/24",
                    "gateway": "10.77.0.1",
                    "firewall": False,
                },
            },
        ),
        (
            "unprivileged 8.4",
            {
                "hostname": "CT174",
                "memory": "32Mi",
                "swap": "512Mi",
                "features": {"nesting": True},
                "network": {"bridge": "vmbr0", "address": "10.77.0.174/24"},
                "cores": None,
            },
        ),
        (
            "created 9.2",
            {
                "hostname": "ct101",
                "memory": "64Mi",
                "swap": 0,
                "description": "x",
                "tags": ["b", "a"],
                "cores": None,
            },
        ),
        (
            "privileged 9.2",
            {"hostname": "CT102", "memory": "64Mi", "swap": "512Mi", "tags": [], "cores": None},
        ),
        (
            "emptied tags 9.2",
            {"hostname": "CT102", "features": {"nesting": True}, "tags": [], "memory": "64Mi", "cores": None},
        ),
        (
            "pending 8.4",
            {
                "hostname": "new101",
                "cores": 2,
                "memory": "64Mi",
                "swap": "64Mi",
                "nameserver": "9.9.9.9",
                "features": {"nesting": True},
                "startup": {"order": 1},
                "onBoot": True,
                "description": "hot",
                "tags": ["hot"],
                "network": {"bridge": "vmbr0", "address": "10.77.0.101/24", "gateway": "10.77.0.1"},
            },
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_was_asked_for_is_read_back_as_equal(part: str, spec: dict[str, object]) -> None:
    container = a_container("psa-crm", **{"swap": None, **spec})
    config = parse_config(mapping(answers(part)[0]))
    found = differences(container.spec, container.key.name, UID, config)
    # The recordings have no stamps of ours; all other tags have to be the ones that were asked for.
    assert [difference.option for difference in found] == ["tags"]
    if container.spec.tags is not None:
        assert config.tags == frozenset(container.spec.tags)


def test_the_pending_rows_say_the_same_as_the_configuration() -> None:
    config, pending = answers("pending 8.4")
    seen = parse_container("pve1", {"status": "running"}, rows(pending))
    assert seen.config == parse_config(mapping(config))
    assert seen.pending == (
        *("arch", "cmode", "console", "debug", "dev0", "features"),
        *("nameserver", "ostype", "rootfs", "timezone", "tty"),
    )


def test_nothing_is_pending_in_a_container_that_never_ran() -> None:
    config, pending = answers("created 8.4")
    seen = parse_container("pve1", {"status": "stopped"}, rows(pending))
    assert seen.config == parse_config(mapping(config))
    assert seen.pending == ()


def test_a_half_created_container_is_read_without_a_name() -> None:
    config, status = (mapping(answer) for answer in answers("half created 8.4"))
    seen = parse_container("pve1", status, [{"key": key, "value": value} for key, value in config.items()])
    assert (seen.lock, seen.config.hostname, seen.config.root) == ("create", None, None)


def test_a_container_under_ha_is_recognised() -> None:
    (status,) = answers("under HA 8.4")
    seen = parse_container("pve1", mapping(status), [{"key": "digest", "value": "x"}])
    assert (seen.ha_state, seen.is_running) == ("started", False)


def test_a_running_container_of_9_2_is_recognised() -> None:
    (status,) = answers("running 9.2")
    seen = parse_container("pve1", mapping(status), [{"key": "digest", "value": "x"}])
    assert (seen.ha_state, seen.is_running, seen.lock) == (None, True, None)


@pytest.mark.parametrize("part", ["emptied tags 8.4", "cleared tags 8.4", "emptied tags 9.2"])
def test_emptied_tags_are_no_tags(part: str) -> None:
    assert parse_config(mapping(answers(part)[0])).tags == frozenset()


@pytest.mark.parametrize(
    ("part", "storage", "size"),
    [
        ("created 8.4", "local", 512 * 1024**2),
        ("static address 8.4", "local", GIB),
        ("emptied tags 8.4", "local", 9 * GIB),
        ("cleared tags 8.4", "local", 612 * 1024**2),
        ("privileged 9.2", "shared", 204 * 1024**2),
    ],
)
def test_the_root_disk_is_read_in_every_unit(part: str, storage: str, size: int) -> None:
    root = parse_config(mapping(answers(part)[0])).root
    assert root is not None
    assert (root.storage, root.size_bytes) == (storage, size)


def test_tags_are_read_as_proxmox_sorts_them() -> None:
    assert parse_tags("Zed;alpha;Beta;alpha") == parse_tags("alpha;beta;zed")
