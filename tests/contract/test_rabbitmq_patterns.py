"""Which queues a policy is for: how we read its pattern, against what a real broker makes of it."""

import contextlib

import pytest

from crds.patterns import quick
from reconcilers.rabbitmq.client import Call
from tests.real_haproxy import until
from tests.real_rabbitmq import Site, a_site

pytestmark = pytest.mark.slow

PATTERNS = [
    "^[[:alpha:]]+$",
    "^[[:alnum:]]+$",
    "[[:upper:]]",
    "^[[:lower:][:digit:]]+$",
    "[[:blank:]]",
    "[[:xdigit:]]{3}",
    "^[^[:word:]]",
    r"^\w+\d$",
    r"\s",
    "(?i)^MAIL$",
    "^mail$",
    "mail|push",
    r"^(?!amq\.).*-",
    "^.a",
    r"\.",
    "$",
]
QUEUES = ["mail", "Mail", "mail2", "abc", "push-1", "a.b", "amq-1", "with blank", "-x", "__"]


async def test_a_pattern_matches_for_us_what_it_matches_at_the_broker() -> None:
    async with contextlib.AsyncExitStack() as stack:
        sites = {pattern: await stack.enter_async_context(a_site()) for pattern in PATTERNS}
        for pattern, site in sites.items():
            for name in QUEUES:
                await site.by_hand("PUT", "queues", "{v}", name, durable=True)
            body = {"pattern": pattern, "apply-to": "queues", "definition": {"max-length": 9}}
            await site.by_hand("PUT", "policies", "{v}", "ours", **body)
        for pattern, site in sites.items():
            ours = {each for each in QUEUES if quick(pattern).search(each)}
            # The broker tells of a policy some seconds after it is in force.
            seen = await until(lambda site=site: under_policy(site), lambda seen, ours=ours: seen >= ours)  # type: ignore[misc]
            assert (pattern, seen) == (pattern, ours)
            assert ours


async def under_policy(site: Site) -> set[str]:
    rows = (await site.wire.send(Call("GET", ("queues", site.vhost)))).body
    assert isinstance(rows, list)
    return {row["name"] for row in rows if row.get("policy") == "ours"}
