"""Objects that stand in files twice, or that claim one real thing: all of them are refused. Pure."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
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
        if _is_contended(claims):
            yield from _claimed_twice(target, claims)


def _grouped(pairs: Iterable[tuple[GroupT, MemberT]]) -> dict[GroupT, list[MemberT]]:
    groups: defaultdict[GroupT, list[MemberT]] = defaultdict(list)
    for group, member in pairs:
        groups[group].append(member)
    return {group: members for group, members in groups.items() if len(members) > 1}


def _declared_twice(key: Key, same: Sequence[Candidate]) -> Iterator[Problem]:
    places = [str(candidate.spot) for candidate in same]
    for index, candidate in enumerate(same):
        also = f"it is declared in {_others(places, index)}, too: leave one of them"
        yield candidate.spot.problem(f"{key} is declared {_times(len(same))}", also, key=key)


def _is_contended(claims: Sequence[tuple[Candidate, Spot]]) -> bool:
    """Whether this is more than one object that is declared twice, which is said already."""
    keys = {candidate.key for candidate, _ in claims}
    once_each = max(Counter(id(candidate) for candidate, _ in claims).values()) == 1
    return len(keys) > 1 or not once_each


def _claimed_twice(target: str, claims: Sequence[tuple[Candidate, Spot]]) -> Iterator[Problem]:
    places = [f"{candidate.key} ({spot})" for candidate, spot in claims]
    for index, (candidate, spot) in enumerate(claims):
        also = f"it belongs to {_others(places, index)}, too: one real thing can have one owner only"
        yield spot.problem(f"{target} is claimed {_times(len(claims))}", also, key=candidate.key)


def _times(count: int) -> str:
    return "twice" if count == 2 else f"{count} times"  # noqa: PLR2004 - English has a word for it


def _others(places: Sequence[str], index: int) -> str:
    others = [*places[:index], *places[index + 1 :]]
    more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
    return ", ".join(others[:_MOST_NAMED]) + more
