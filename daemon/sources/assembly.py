"""What all files of the directory say together, as one snapshot. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from crds.meta import Key
from daemon.sources.carets import file_problem
from daemon.sources.conflicts import find_conflicts
from daemon.sources.listing import RefusedFile
from daemon.sources.objects import FileContent
from daemon.sources.snapshot import Problem, Snapshot
from daemon.sources.systems import find_strangers


def assemble(
    contents: Sequence[FileContent], digest: str, systems: Mapping[str, str] | None = None
) -> Snapshot:
    """Return the snapshot of *contents*: what is valid and claimed once is declared, the rest refused.

    *systems* are the settings' endpoints, name to type; without them, any endpoint that is selected will do.
    """
    candidates = [candidate for content in contents for candidate in content.candidates]
    conflicts = list(find_conflicts(candidates))
    strangers = find_strangers(candidates, systems) if systems is not None else ()
    problems = sorted(
        [*(problem for content in contents for problem in content.problems), *conflicts, *strangers],
        key=lambda problem: (problem.file, problem.line, problem.column),
    )
    refused = _refused(contents, problems)
    return Snapshot(
        objects=tuple(
            candidate.declared
            for candidate in candidates
            if candidate.declared is not None and candidate.key not in refused
        ),
        problems=tuple(problems),
        refused=MappingProxyType(refused),
        broken_files=frozenset(content.file for content in contents if content.broken),
        files=len(contents),
        digest=digest,
    )


def refused_content(file: RefusedFile) -> FileContent:
    """Return what a refused file says: only that it is refused."""
    problem = file_problem(file.path, file.message, *file.notes)
    return FileContent(file.path, problems=(problem,), broken=True)


def _refused(contents: Iterable[FileContent], problems: Iterable[Problem]) -> dict[Key, Problem]:
    """Return what is wrong with each refused object, in one text.

    An object that is not accepted for no reason of its own is refused for what is wrong with its file.
    """
    by_key: defaultdict[Key, list[Problem]] = defaultdict(list)
    for problem in problems:
        if problem.key is not None:
            by_key[problem.key].append(problem)
    for content in contents:
        for candidate in content.candidates:
            if candidate.declared is None and candidate.key not in by_key:
                by_key[candidate.key] = [_of_file(content)]
    return {key: _together(found) for key, found in by_key.items()}


def _of_file(content: FileContent) -> Problem:
    return next((problem for problem in content.problems if problem.key is None), content.problems[0])


def _together(problems: Sequence[Problem]) -> Problem:
    first = problems[0]
    if len(problems) == 1:
        return first
    message = f"{first.message} (and {len(problems) - 1} more)"
    return replace(first, message=message, rendered="\n".join(problem.rendered for problem in problems))
