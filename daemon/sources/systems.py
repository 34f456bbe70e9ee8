"""Objects that select an endpoint which the settings do not have, or have with another type. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from crds.meta import Key, Selection
from daemon.sources.carets import Spot
from daemon.sources.objects import Candidate
from daemon.sources.snapshot import Problem
from daemon.sources.wording import found, unknown


def find_strangers(candidates: Sequence[Candidate], systems: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a problem at each such field; *systems* maps each endpoint's name to its type."""
    for candidate in candidates:
        for selection, spot in candidate.selections:
            if systems.get(selection.endpoint) != selection.type:
                yield _problem(candidate.key, selection, spot, systems)


def _problem(key: Key, selection: Selection, spot: Spot, systems: Mapping[str, str]) -> Problem:
    name, wanted, where = selection.endpoint, selection.type, ".".join(selection.path)
    fitting = tuple(sorted(each for each, system in systems.items() if system == wanted))
    notes = unknown(name, fitting) if fitting else (f"the settings have none of type {wanted}",)
    if name in systems:
        message = f"the endpoint {found(name)} is of type {systems[name]}, {wanted} is needed"
    else:
        message = f"the settings have no endpoint {found(name)}"
    return spot.problem(f"{where}: {message}", *notes, key=key)
