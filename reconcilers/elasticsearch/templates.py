"""Component and index templates: what is asked, what is there, and whether it is the same. Pure."""

from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from crds.elasticsearch import ComponentTemplate, ElasticsearchSpec, IndexTemplate
from crds.meta import Verb
from reconcilers.contract import Resource, Step, StepClass
from reconcilers.elasticsearch.model import Body, Delete, ElasticAction, Put, SeenCluster, Thing
from reconcilers.elasticsearch.normal import (
    Leaves,
    canonical,
    changes,
    index_settings,
    is_true,
    leaves,
    listed,
)

ElasticStep = Step[ElasticAction]
#: Says to people at the cluster who put it there; never compared.
OURS: Mapping[str, JsonValue] = {"managed_by": "psa-reconciler"}


def component_steps(es: Resource[ElasticsearchSpec], seen: SeenCluster) -> Iterable[ElasticStep]:
    """Yield what makes the component templates as asked."""
    for name, asked in es.spec.component_templates.items():
        body: dict[str, JsonValue] = {"template": _inner(asked), "_meta": dict(OURS)}
        there = seen.components.get(name)
        known = None if there is None else _inner_leaves(there)
        step = _step(es, Thing.COMPONENT, name, body, (_inner_leaves(body), known))
        yield from [step] if step is not None else []


def template_steps(es: Resource[ElasticsearchSpec], seen: SeenCluster) -> Iterable[ElasticStep]:
    """Yield what makes the index templates as asked."""
    for name, asked in es.spec.index_templates.items():
        body = _template(asked)
        there = seen.templates.get(name)
        known = None if there is None else _template_leaves(there)
        step = _step(es, Thing.TEMPLATE, name, body, (_template_leaves(body), known))
        yield from [step] if step is not None else []


def template_deletions(es: Resource[ElasticsearchSpec], seen: SeenCluster) -> Iterable[ElasticStep]:
    """Yield the deletions of templates; index templates first, for they may use the others."""
    for thing, names, found in (
        (Thing.TEMPLATE, es.spec.absent.index_templates, seen.templates),
        (Thing.COMPONENT, es.spec.absent.component_templates, seen.components),
    ):
        for name in names:
            if found.get(name) is not None:
                yield Step(
                    Delete(es.spec.endpoint, thing, name),
                    StepClass.ABSOLUTE,
                    target=f"{thing.value} {name}",
                    summary=f"delete the {thing.value} {name}; indices that exist keep what they have",
                    needs=Verb.DELETE_DEFINITION,
                    origin=es.where("spec.absent"),
                )


def _step(
    es: Resource[ElasticsearchSpec],
    thing: Thing,
    name: str,
    body: Body,
    compared: tuple[Leaves, Leaves | None],
) -> ElasticStep | None:
    asked, known = compared
    if known == asked:
        return None
    fields = {Thing.COMPONENT: "componentTemplates", Thing.TEMPLATE: "indexTemplates"}
    found = () if known is None else changes(asked, known)
    change = f"change the {thing.value} {name}: {listed(found)}; indices that exist keep what they have"
    return Step(
        Put(es.spec.endpoint, thing, name, canonical(dict(body)), adds=known is None),
        StepClass.ABSOLUTE,
        target=f"{thing.value} {name}",
        summary=f"make the {thing.value} {name}" if known is None else change,
        changes=found,
        origin=es.where(f"spec.{fields[thing]}.{name}"),
    )


def _inner(asked: ComponentTemplate) -> dict[str, JsonValue]:
    aliases: dict[str, JsonValue] = {name: dict(options) for name, options in asked.aliases.items()}
    parts: Mapping[str, JsonValue] = {
        "settings": asked.settings,
        "mappings": asked.mappings,
        "aliases": aliases,
    }
    return {name: part for name, part in parts.items() if part}


def _template(asked: IndexTemplate) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = {
        "index_patterns": list(asked.patterns),
        "composed_of": list(asked.composed_of),
        "template": _inner(asked),
        "_meta": dict(OURS),
    }
    if asked.priority is not None:
        body["priority"] = asked.priority
    if asked.data_stream:
        body["data_stream"] = {}
    return body


def _template_leaves(body: Body) -> dict[str, str]:
    """Return what counts of an index template; the order of patterns does not, that of components does."""
    patterns, components = body.get("index_patterns", []), body.get("composed_of", [])
    every = patterns if isinstance(patterns, list) else [patterns]
    found = {"patterns": ",".join(sorted(map(str, every)))}
    if components:
        found["composedOf"] = ",".join(map(str, components if isinstance(components, list) else [components]))
    if body.get("priority") is not None:
        found["priority"] = str(body["priority"])
    if body.get("data_stream") is not None:
        found["dataStream"] = "true"
    return found | _inner_leaves(body)


def _inner_leaves(body: Body) -> dict[str, str]:
    template = body.get("template")
    if not isinstance(template, dict):
        return {}
    settings, mappings, aliases = (_part(template, name) for name in ("settings", "mappings", "aliases"))
    fields = mappings.get("_doc", mappings)  # older bodies name the type that there no longer is
    found = {f"settings.{name}": value for name, value in index_settings(settings).items()}
    found |= leaves(fields if isinstance(fields, dict) else {}, "mappings.")
    for alias, options in aliases.items():
        found |= leaves({alias: alias_options(options)}, "aliases.")
    return found


def _part(template: Body, name: str) -> dict[str, JsonValue]:
    found = template.get(name)
    return found if isinstance(found, dict) else {}


def alias_options(options: JsonValue) -> dict[str, JsonValue]:
    """Return an alias's options as the server keeps them: one routing is two, false is not said."""
    found = dict(options) if isinstance(options, dict) else {}
    routing = found.pop("routing", None)
    if routing is not None:
        found = {"index_routing": routing, "search_routing": routing, **found}
    for flag in ("is_write_index", "is_hidden"):
        if flag in found and not is_true(found[flag]):
            del found[flag]
    return found
