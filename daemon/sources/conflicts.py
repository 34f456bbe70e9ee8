"""Objects that stand in files twice, or that claim one real thing: all of them are refused. Pure."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from crds.meta import Key
from daemon.sources.carets import Spot
from daemon.sources.objects import Candidate
from daemon.sources.snapshot import Problem

MemberT = TypeVar("MemberT")
GroupT = TypeVar("GroupT", bound=Hashable)
#: A thousand files with one object must not make a million words.
_MOST_NAMED: Final = 5


def find_conflicts(candidates: Sequence[Candidate]) -> Iterator[Problem]:
    """Yield a problem at each of the places that contradict each other; each names the others."""
    by_key = _grouped((candidate.key, candidate) for candidate in candidates)
    for key, same in by_key.items():
        yield from _declared_twice(key, same)
    by_target = _grouped(
        (target, (candidate, spot)) for candidate in candidates for target, spot in candidate.claims
    )
    for target, claims in by_target.items():
        yield from _claimed_twice(target, claims)


def _grouped(pairs: Iterable[tuple[GroupT, MemberT]]) -> dict[GroupT, list[MemberT]]:
    groups: defaultdict[GroupT, list[MemberT]] = defaultdict(list)
    for group, member in pairs:
        groups[group].append(member)
    return {group: members for group, members in groups.items() if len(members) > 1}


def _declared_twice(key: Key, same: Sequence[Candidate]) -> Iterator[Problem]:
    for candidate in same:
        others = (str(other.spot) for other in same if other is not candidate)
        also = f"it is declared in {_named(others)}, too: leave one of them"
        yield candidate.spot.problem(f"{key} is declared more than once", also, key=key)


def _claimed_twice(target: str, claims: Sequence[tuple[Candidate, Spot]]) -> Iterator[Problem]:
    for candidate, spot in claims:
        others = (
            f"{other.key} ({at})"
            for other, at in claims
            if (other is candidate and at is not spot) or other.key != candidate.key
        )
        named = _named(others)
        if named:  # else it is one object that is declared twice, which is said already
            also = f"it belongs to {named}, too: a real thing has one owner"
            yield spot.problem(f"{target} is claimed more than once", also, key=candidate.key)


def _named(others: Iterator[str]) -> str:
    named = list(islice(others, _MOST_NAMED))
    more = " and others" if next(others, None) is not None else ""
    return ", ".join(named) + more
