"""Looks at a cluster, and at the ages of its indices where a change may delete some."""

from dataclasses import replace

from crds.elasticsearch import ElasticsearchSpec
from reconcilers.contract import Resource
from reconcilers.elasticsearch.client import ElasticsearchClient, NoMasterError
from reconcilers.elasticsearch.lifecycle import needs_ages
from reconcilers.elasticsearch.model import NoMaster, Questions, SeenElasticsearch
from reconcilers.elasticsearch.normal import index_settings


async def observe_elasticsearch(
    client: ElasticsearchClient, es: Resource[ElasticsearchSpec]
) -> SeenElasticsearch:
    """Ask the cluster; one without a master is an answer, too."""
    spec = es.spec
    try:
        seen = await client.look(spec.endpoint, questions(spec))
        if needs_ages(spec, seen.policies):
            seen = replace(seen, aged=await client.ages(spec.endpoint))
    except NoMasterError as exc:
        return NoMaster(str(exc))
    return seen


def questions(spec: ElasticsearchSpec) -> Questions:
    """Return what must be known: all that is asked for, or must be absent."""
    named = {index for alias in spec.aliases.values() for index in alias.indices}
    # The aliases' names, too: an index may have one of them.
    indices = {*spec.indices, *spec.absent.indices, *spec.aliases, *named}
    patterns = {pattern for each in spec.index_templates.values() for pattern in each.patterns}
    attached = {index_settings(each.settings).get("index.lifecycle.name") for each in spec.indices.values()}
    policies = {*spec.lifecycle_policies, *spec.absent.lifecycle_policies, *attached}
    return Questions(
        policies=tuple(sorted(each for each in policies if each)),
        components=(*spec.component_templates, *spec.absent.component_templates),
        templates=(*spec.index_templates, *spec.absent.index_templates),
        indices=tuple(sorted(indices)),
        aliases=tuple(spec.aliases),
        patterns=tuple(sorted(patterns)),
    )
