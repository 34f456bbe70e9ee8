"""Indices: made where they are missing, changed where they may be, explained where they may not. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from crds.elasticsearch import ElasticsearchSpec, Index
from crds.meta import Verb
from reconcilers.contract import Resource, Step, StepClass
from reconcilers.elasticsearch.aliases import brought_aliases, is_rolled_over
from reconcilers.elasticsearch.lifecycle import deletes_from, settings_by
from reconcilers.elasticsearch.mappings import mapping_difference
from reconcilers.elasticsearch.model import Delete, Put, SeenCluster, SeenIndex, Thing
from reconcilers.elasticsearch.normal import (
    Leaves,
    canonical,
    changes,
    index_settings,
    listed,
    named,
    plain_settings,
)
from reconcilers.elasticsearch.templates import ElasticStep

#: Settings that only a new (or closed) index takes, with what holds where an index does not say it.
STATIC: Final[Mapping[str, str]] = MappingProxyType({
    "index.codec": "default",
    "index.load_fixed_bitset_filters_eagerly": "true",
    "index.mapping.coerce": "true",
    "index.mapping.ignore_malformed": "false",
    "index.mode": "standard",
    "index.number_of_routing_shards": "",
    "index.number_of_shards": "1",
    "index.routing_partition_size": "1",
    "index.routing_path": "",
    "index.shard.check_on_startup": "false",
    "index.soft_deletes.enabled": "true",
    "index.store.type": "fs",
})  # fmt: skip
_STATIC_BELOW: Final = ("index.analysis.", "index.similarity.", "index.sort.")
_REPLICAS: Final = "index.number_of_replicas"
_AUTO: Final = "index.auto_expand_replicas"
_POLICY: Final = "index.lifecycle.name"


def is_static(name: str) -> bool:
    """Whether an open index does not take the setting any more."""
    return name in STATIC or name.startswith(_STATIC_BELOW)


def index_steps(es: Resource[ElasticsearchSpec], seen: SeenCluster, now: datetime) -> Iterable[ElasticStep]:
    """Yield what makes indices, then what changes those that are there."""
    for name in missing_indices(es.spec, seen):
        yield _creation(es, seen, name, es.spec.indices[name])
    for name, asked in es.spec.indices.items():
        there = seen.indices.get(name)
        if there is not None:
            yield from _setting_steps(es, seen, name, now)
            yield from _mapping_step(es, name, asked, there)


def missing_indices(spec: ElasticsearchSpec, seen: SeenCluster) -> tuple[str, ...]:
    """Return the indices that must be made; one that was rolled over and deleted since is not missed."""
    return tuple(
        name
        for name in spec.indices
        if name not in seen.indices and not is_rolled_over(spec, seen, name) and not _alias_owners(seen, name)
    )


def index_deletions(es: Resource[ElasticsearchSpec], seen: SeenCluster) -> Iterable[ElasticStep]:
    """Yield the deletions of indices."""
    for name in es.spec.absent.indices:
        if name in seen.indices:
            yield Step(
                Delete(es.spec.endpoint, Thing.INDEX, name),
                StepClass.ABSOLUTE,
                target=f"index {name}",
                summary=f"delete the index {name} with all its documents",
                needs=Verb.DELETE_INDEX,
                origin=es.where("spec.absent.indices"),
            )


def index_problems(spec: ElasticsearchSpec, seen: SeenCluster) -> Iterable[tuple[str, str]]:
    """Yield what an index that exists can never become."""
    for name, asked in spec.indices.items():
        yield from (("TwoMasters", text) for text in _contested(spec, seen, name).values())
        owners = _alias_owners(seen, name)
        if owners:
            yield "NameTaken", f"{name} is asked as an index, and is an alias of {named(owners)}"
        there = seen.indices.get(name)
        if there is None:
            continue
        have = index_settings(there.settings)
        for setting, want in index_settings(asked.settings).items():
            is_now = have.get(setting, STATIC.get(setting, ""))
            if is_static(setting) and is_now != want:
                text = (
                    f"{setting} of {name} is {is_now or 'not set'}, {want} is asked: only a new index takes"
                    " it; make one under another name, reindex into it and swap the alias"
                )
                yield "StaticSetting", text
        conflicts = mapping_difference(asked.mappings, there.mappings).conflicts
        if conflicts:
            text = (
                f"fields of {name} cannot change: {named(conflicts, 5)}; make an index under another name,"
                " reindex into it and swap the alias"
            )
            yield "MappingConflict", text


def _contested(spec: ElasticsearchSpec, seen: SeenCluster, name: str) -> Mapping[str, str]:
    """Return the settings that somebody else sets otherwise, and who: they are not set, or it never ends."""
    there = seen.indices.get(name)
    asked = index_settings(spec.indices[name].settings)
    known = {**({} if there is None else index_settings(there.settings)), **asked}
    found: dict[str, str] = {}
    if _REPLICAS in asked and known.get(_AUTO, "false") != "false":
        text = f"{_AUTO} is {known[_AUTO]}: the cluster sets it by its nodes"
        found[_REPLICAS] = f"{_asks(name, _REPLICAS, asked)}, and {text}; leave one of them out, or say false"
    policy = known.get(_POLICY, "")
    for setting, values in settings_by(spec, seen, policy).items():
        other = {phase: value for phase, value in values.items() if asked.get(setting, value) != value}
        if other:
            words = ", ".join(f"{value} in its phase {phase}" for phase, value in other.items())
            text = f"the lifecycle policy {policy} sets {words}; it is left to the policy: leave it out here"
            found[setting] = f"{_asks(name, setting, asked)}, and {text}"
    return found


def _asks(name: str, setting: str, asked: Leaves) -> str:
    return f"{setting} of {name} is asked as {asked[setting]}"


def _alias_owners(seen: SeenCluster, name: str) -> list[str]:
    return sorted(index for index, found in seen.indices.items() if name in found.aliases)


def _creation(es: Resource[ElasticsearchSpec], seen: SeenCluster, name: str, asked: Index) -> ElasticStep:
    aliases = brought_aliases(es.spec, seen, name)
    parts: Mapping[str, dict[str, JsonValue]] = {
        "settings": plain_settings(asked.settings, index_settings(asked.settings)),
        "mappings": asked.mappings,
        "aliases": aliases,
    }
    body: dict[str, JsonValue] = {part: value for part, value in parts.items() if value}
    brings = f" with the alias {named(aliases)}" if aliases else ""
    return Step(
        Put(es.spec.endpoint, Thing.INDEX, name, canonical(body), adds=True),
        StepClass.ABSOLUTE,
        target=f"index {name}",
        summary=f"make the index {name}{brings}",
        origin=es.where(f"spec.indices.{name}"),
    )


def _setting_steps(
    es: Resource[ElasticsearchSpec], seen: SeenCluster, name: str, now: datetime
) -> Iterable[ElasticStep]:
    """Yield one step for all settings, and one for a policy where that would delete the index at once."""
    have = index_settings(seen.indices[name].settings)
    asked = index_settings(es.spec.indices[name].settings)
    others = _contested(es.spec, seen, name)
    want = {key: text for key, text in asked.items() if not is_static(key) and key not in others}
    wrong = sorted(key for key, text in want.items() if have.get(key) != text)
    if _POLICY in wrong and _is_doomed(es.spec, seen, name, now):
        wrong.remove(_POLICY)
        step = _setting_step(es, name, have, want, [_POLICY])
        summary = f"{step.summary}; that policy would delete it now, with all its documents"
        yield replace(step, summary=summary, needs=Verb.ILM_DELETES_NOW)
    if wrong:
        step = _setting_step(es, name, have, want, wrong)
        loses_copies = _REPLICAS in wrong and want[_REPLICAS] == "0"
        yield replace(step, needs=Verb.REPLICAS_ZERO) if loses_copies else step


def _setting_step(
    es: Resource[ElasticsearchSpec], name: str, have: Leaves, want: Leaves, wrong: list[str]
) -> ElasticStep:
    found = changes({key: want[key] for key in wrong}, {key: have[key] for key in wrong if key in have})
    body = canonical(plain_settings(es.spec.indices[name].settings, wrong))
    return Step(
        Put(es.spec.endpoint, Thing.INDEX_SETTINGS, name, body),
        StepClass.ABSOLUTE,
        target=f"index {name}",
        summary=f"set {listed(found)} of the index {name}",
        changes=found,
        origin=es.where(f"spec.indices.{name}.settings"),
    )


def _is_doomed(spec: ElasticsearchSpec, seen: SeenCluster, name: str, now: datetime) -> bool:
    """Whether its new policy deletes an index of its age at once; a rollover may have made it younger."""
    policy = index_settings(spec.indices[name].settings)[_POLICY]
    limit_s = deletes_from(spec, seen, policy)
    born = str(seen.indices[name].settings.get("index.creation_date"))
    born_at = int(born) / 1000 if born.isdecimal() else 0.0
    return limit_s is not None and now.timestamp() - born_at >= limit_s


def _mapping_step(
    es: Resource[ElasticsearchSpec], name: str, asked: Index, there: SeenIndex
) -> Iterable[ElasticStep]:
    found = mapping_difference(asked.mappings, there.mappings)
    if found.body:
        yield Step(
            Put(es.spec.endpoint, Thing.MAPPING, name, canonical(dict(found.body)), adds=True),
            StepClass.ABSOLUTE,
            target=f"index {name}",
            summary=f"add to the mapping of the index {name}: {named(found.added, 4)}",
            origin=es.where(f"spec.indices.{name}.mappings"),
        )
