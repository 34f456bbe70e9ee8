"""A Release kind that only answers: what the API needs of one."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from crds.meta import Key
from crds.release import Attempt, ReleaseMemo, ReleaseSpec, ReleaseStatus
from reconcilers.contract import Answer, Outcome, Plan, Resource, Step, View


class AnsweringReleases:
    """Accepts every request but ``retry``, and keeps one attempt with the number and fields of a test."""

    kind = "Release"
    poll_interval = timedelta(seconds=60)
    pass_deadline = timedelta(seconds=5)

    def __init__(self) -> None:
        self.attempt: int | None = 3
        self.fields: Mapping[str, object] = {}
        self.looks = 0

    def endpoint(self, resource: Resource[ReleaseSpec]) -> str | None:
        return None

    async def observe(self, resource: Resource[ReleaseSpec], view: View) -> None:
        await asyncio.sleep(0)
        self.looks += 1

    def plan(self, resource: Resource[ReleaseSpec], seen: None, now: datetime) -> Plan[None]:
        answers = [
            Answer(each.id, accepted=each.verb != "retry", message=f"{each.verb}: heard")
            for each in resource.requests
            if each.answer is None
        ]
        if self.attempt is None:
            return Plan(writes=tuple(answers))
        return Plan(
            writes=tuple(answers),
            status=ReleaseStatus(attempt=an_attempt(self.attempt, resource.created_at, **self.fields)),
            memo=ReleaseMemo(attempt=self.attempt),
        )

    async def apply(self, step: Step[None]) -> Outcome:
        raise AssertionError("there is nothing to carry out")

    def gone(self, key: Key) -> None:
        """Nothing is remembered."""


def an_attempt(number: int, at: datetime, **fields: object) -> Attempt:
    """Return a running attempt."""
    values: Mapping[str, object] = {
        "number": number,
        "version": "1.2.3",
        "fingerprint": "f",
        "members": {},
        "began_at": at,
        "entered_at": at,
        **fields,
    }
    return Attempt.model_validate(values)
