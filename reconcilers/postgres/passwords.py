"""Whether stored verifiers are those of the secrets, found out beside the event loop.

To compare one takes 1.7 ms by design: of 200 roles that is a third of a second, in which nothing else would
get its turn. So it is done a few at a time by a worker, as part of looking, and remembered.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from crds.meta import Key
from crds.postgres import PostgresClusterSpec
from reconcilers.contract import Resource, Secret
from reconcilers.postgres.model import SeenCluster
from reconcilers.postgres.scram import is_password, salt_for, verifier

#: So many a turn: a pass that is given up leaves a worker busy for no longer than these.
AT_A_TIME: Final = 8


@dataclass(frozen=True, slots=True)
class Question:
    """Is what is stored for a role a verifier of its secret? ``stored`` is None for none."""

    role: str
    password: str = field(repr=False)
    stored: str | None = field(repr=False)
    uid: str
    """The object's, so that two clusters have two salts."""


#: What to store for each question; None where what is stored is right.
Answers = tuple[Secret | None, ...]
Worker = Callable[[Callable[[], Answers]], Awaitable[Answers]]


def questions(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> tuple[Question, ...]:
    """Return what must be known of the roles' passwords, as far as that can be asked."""
    roles = seen.primary.deep.roles if seen.primary is not None else None
    if roles is None:
        return ()
    found: list[Question] = []
    for name, wish in cluster.spec.roles.items():
        secret = seen.secrets.get(wish.password) if wish.password is not None else None
        role = roles.get(name)
        stored = role.verifier.value if role is not None and role.verifier is not None else None
        # "" is one that nobody may see: nothing is known of it, and it is not written for ever.
        if secret is not None and stored != "":
            found.append(Question(name, secret.value, stored, cluster.uid))
    return tuple(found)


def answer(question: Question) -> Secret | None:
    """Return the verifier to store, None where the stored one is right."""
    if question.stored is not None and is_password(question.password, question.stored):
        return None
    # A salt that follows from the secret: the same step again is the same statement. It cannot be guessed
    # without the secret, and another role or cluster has another one.
    seed = f"{question.uid}/{question.role}/{question.password}".encode()
    return Secret(verifier(question.password, salt_for(seed)))


def _answers(some: tuple[Question, ...]) -> Answers:
    return tuple([answer(each) for each in some])


class Passwords:
    """The answers to what was asked of each cluster at its last look."""

    def __init__(self, worker: Worker) -> None:
        """Take what runs a call beside the event loop and returns its result."""
        self._worker = worker
        self._known: dict[Key, Mapping[Question, Secret | None]] = {}

    async def new_verifiers(
        self, cluster: Resource[PostgresClusterSpec], seen: SeenCluster
    ) -> Mapping[str, Secret]:
        """Return what to store for each role whose password is not the secret's, by the role's name."""
        asked = questions(cluster, seen)
        if not asked:
            return {}
        known = self._known.get(cluster.key, {})
        found = {each: known[each] for each in asked if each in known}
        open_ones = [each for each in asked if each not in known]
        for begin in range(0, len(open_ones), AT_A_TIME):
            some = tuple(open_ones[begin : begin + AT_A_TIME])
            answers = await self._worker(partial(_answers, some))
            found.update(zip(some, answers, strict=True))
            self._known[cluster.key] = {**known, **found}
        self._known[cluster.key] = found
        return {each.role: new for each, new in found.items() if new is not None}

    def forget(self, key: Key) -> None:
        """Forget what was asked of a cluster."""
        self._known.pop(key, None)
