"""Aliases: who has them, who writes through them, and one request that moves them. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import JsonValue

from crds.elasticsearch import ElasticsearchSpec, IndexAlias
from crds.meta import Verb
from reconcilers.contract import Resource, Step, StepClass
from reconcilers.elasticsearch.model import Body, ChangeAliases, SeenCluster
from reconcilers.elasticsearch.normal import canonical, is_true, named
from reconcilers.elasticsearch.templates import ElasticStep, alias_options

_WRITES: Final = "is_write_index"


def alias_steps(
    es: Resource[ElasticsearchSpec], seen: SeenCluster, made: Mapping[str, frozenset[str]]
) -> Iterable[ElasticStep]:
    """Yield what moves the aliases. *made* are indices of the same plan, with the aliases that they bring."""
    for name, asked in es.spec.aliases.items():
        step = _alias_step(es, seen, name, asked, made)
        if step is not None:
            yield step


def brought_aliases(spec: ElasticsearchSpec, seen: SeenCluster, index: str) -> dict[str, JsonValue]:
    """Return the aliases that a new index begins with: those that nobody has, and nobody else shall have.

    So nobody who writes to the alias between two requests makes an index of that name.
    """
    return {
        name: {_WRITES: True} if asked.rollover or asked.write_index == index else {}
        for name, asked in spec.aliases.items()
        if asked.indices == (index,) and not seen.aliases.get(name)
    }


def is_rolled_over(spec: ElasticsearchSpec, seen: SeenCluster, index: str) -> bool:
    """Whether an index was only a beginning: its alias goes on without it."""
    return any(
        asked.rollover and index in asked.indices and bool(seen.aliases.get(name))
        for name, asked in spec.aliases.items()
    )


def alias_problems(spec: ElasticsearchSpec, seen: SeenCluster) -> Iterable[tuple[str, str]]:
    """Yield what keeps an alias from being as asked."""
    for name, asked in spec.aliases.items():
        if name in seen.indices:
            text = f"{name} is asked as an alias, and an index has that name: reindex it under another one"
            yield "NameTaken", text
        missing = [each for each in asked.indices if each not in seen.indices and each not in spec.indices]
        if missing and not (asked.rollover and seen.aliases.get(name)):
            yield "MissingIndex", f"the alias {name} is for {named(missing)}, which does not exist"


def writer(holders: Mapping[str, Body]) -> str | None:
    """Return the index that takes what is written to an alias, None if none does."""
    flagged = [index for index, options in holders.items() if is_true(options.get(_WRITES))]
    if flagged:
        return flagged[0]
    silent = [index for index, options in holders.items() if options.get(_WRITES) is None]
    return silent[0] if len(holders) == 1 and silent else None


def _alias_step(
    es: Resource[ElasticsearchSpec],
    seen: SeenCluster,
    name: str,
    asked: IndexAlias,
    made: Mapping[str, frozenset[str]],
) -> ElasticStep | None:
    holders = seen.aliases.get(name, {})
    there = {*seen.indices, *made}
    if name in seen.indices or not there.issuperset(asked.indices) or (asked.rollover and holders):
        return None
    if any(name in brought for brought in made.values()):
        return None
    lost = sorted(set(holders) - set(asked.indices))
    gained = [index for index in asked.indices if _differs(index, asked, holders)]
    if not lost and not gained:
        return None
    after = {index: _options(index, asked, holders) for index in asked.indices}
    actions: list[JsonValue] = [{"remove": {"index": index, "alias": name}} for index in lost]
    actions += [{"add": {"index": index, "alias": name, **after[index]}} for index in gained]
    old, new = writer(holders), writer(after)
    return Step(
        ChangeAliases(
            es.spec.endpoint, name, canonical({"actions": actions}), (*lost, *gained), adds=not holders
        ),
        StepClass.ABSOLUTE,
        target=f"alias {name}",
        summary=_sentence(name, lost, gained, old, new),
        needs=Verb.SWAP_WRITE_INDEX if old is not None and old != new else None,
        origin=es.where(f"spec.aliases.{name}"),
    )


def _wants(index: str, asked: IndexAlias) -> bool | None:
    """Whether the index takes what is written; None where that is not said."""
    if asked.rollover:
        return True
    return None if asked.write_index is None else index == asked.write_index


def _differs(index: str, asked: IndexAlias, holders: Mapping[str, Body]) -> bool:
    if index not in holders:
        return True
    wanted, has = _wants(index, asked), is_true(holders[index].get(_WRITES))
    return wanted is not None and wanted != has


def _options(index: str, asked: IndexAlias, holders: Mapping[str, Body]) -> dict[str, JsonValue]:
    """Return the options that it shall have; filters and routings that are there stay."""
    found = alias_options(dict(holders.get(index, {})))
    wanted = _wants(index, asked)
    if wanted is not None:
        found.pop(_WRITES, None)
        if wanted:
            found[_WRITES] = True
    return found


def _sentence(name: str, lost: list[str], gained: list[str], old: str | None, new: str | None) -> str:
    parts = [f"take the alias {name} from {named(lost)}"] if lost else []
    parts += [f"give the alias {name} to {named(gained)}"] if gained else []
    moved = (
        f"; what is written to it goes to {new or 'no index'} instead of {old}" if old != new and old else ""
    )
    return f"{' and '.join(parts)}, in one request{moved}"
