"""Lifecycle policies: whether one is as asked, and which indices a change would delete at once. Pure."""

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from crds.elasticsearch import ElasticsearchSpec, LifecyclePhaseName, LifecyclePolicy
from crds.meta import Verb
from reconcilers.contract import Resource, Step, StepClass
from reconcilers.elasticsearch.model import Body, Delete, Put, SeenCluster, SeenPolicy, Thing
from reconcilers.elasticsearch.normal import canonical, changes, leaves, listed, named, scalar, seconds
from reconcilers.elasticsearch.templates import OURS, ElasticStep

#: What the server adds to an action that does not say it: libs of ILM 8.x.
DEFAULTS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({
    "delete": {"delete_searchable_snapshot": "true"},
    "allocate": {"include": "{}", "exclude": "{}", "require": "{}", "total_shards_per_node": "-1"},
    "downsample": {"wait_timeout": "86400000000000ns"},
    "migrate": {"enabled": "true"},
    "searchable_snapshot": {"force_merge_index": "true"},
    "shrink": {"allow_write_after_shrink": "false"},
})  # fmt: skip
#: Settings that an action gives its index, with the option that has the value. Blocks no spec may name.
_SETS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({
    "allocate": {"index.number_of_replicas": "number_of_replicas"},
    "set_priority": {"index.priority": "priority"},
})  # fmt: skip
_DELETE: Final = LifecyclePhaseName.DELETE.value


def policy_steps(es: Resource[ElasticsearchSpec], seen: SeenCluster) -> Iterable[ElasticStep]:
    """Yield what makes the policies as asked; a change says which indices it would delete now."""
    for name, asked in es.spec.lifecycle_policies.items():
        there = seen.policies.get(name)
        body = policy_body(asked)
        want, have = _leaves(body), None if there is None else _leaves(there.phases)
        if want == have:
            continue
        found = () if have is None else changes(want, have)
        doomed = deleted_now(name, asked, seen)
        yield Step(
            Put(es.spec.endpoint, Thing.POLICY, name, _request(body), adds=there is None and not doomed),
            StepClass.ABSOLUTE,
            target=f"lifecycle policy {name}",
            summary=_sentence(name, listed(found), doomed, is_new=there is None),
            changes=found,
            needs=Verb.ILM_DELETES_NOW if doomed else None,
            origin=es.where(f"spec.lifecyclePolicies.{name}"),
        )


def policy_deletions(es: Resource[ElasticsearchSpec], seen: SeenCluster) -> Iterable[ElasticStep]:
    """Yield the deletions of policies that nobody uses."""
    for name in es.spec.absent.lifecycle_policies:
        there = seen.policies.get(name)
        if there is not None and not _users(there):
            yield Step(
                Delete(es.spec.endpoint, Thing.POLICY, name),
                StepClass.ABSOLUTE,
                target=f"lifecycle policy {name}",
                summary=f"delete the lifecycle policy {name}, which nothing uses",
                needs=Verb.DELETE_DEFINITION,
                origin=es.where("spec.absent.lifecyclePolicies"),
            )


def policy_problems(spec: ElasticsearchSpec, seen: SeenCluster) -> Iterable[tuple[str, str]]:
    """Yield which policies cannot go, because they are used."""
    for name in spec.absent.lifecycle_policies:
        there = seen.policies.get(name)
        if there is not None and _users(there):
            text = (
                f"the lifecycle policy {name} cannot be deleted: {_users(there)} use it; give them another"
                " one (index.lifecycle.name) first"
            )
            yield "PolicyInUse", text


def needs_ages(spec: ElasticsearchSpec, policies: Mapping[str, SeenPolicy | None]) -> bool:
    """Whether a change of a policy may delete something that is there: then ages must be known."""
    return any(
        _begins_earlier(_deletes_after(policy_body(asked)), _after(policies.get(name)))
        for name, asked in spec.lifecycle_policies.items()
    )


def deleted_now(name: str, asked: LifecyclePolicy, seen: SeenCluster) -> tuple[str, ...]:
    """Return the indices that the policy as it is asked deletes at once, and as it is does not."""
    new, old = _deletes_after(policy_body(asked)), _after(seen.policies.get(name))
    if new is None or not _begins_earlier(new, old):
        return ()
    due = [each for each in seen.aged or () if each.policy == name and each.age_s >= new]
    return tuple(sorted(each.index for each in due if old is None or each.age_s < old))


def deletes_from(spec: ElasticsearchSpec, seen: SeenCluster, name: str) -> float | None:
    """Return the age in seconds from which a policy, as asked or else as it is, deletes; None for never."""
    asked = spec.lifecycle_policies.get(name)
    return _after(seen.policies.get(name)) if asked is None else _deletes_after(policy_body(asked))


def settings_by(spec: ElasticsearchSpec, seen: SeenCluster, name: str) -> Mapping[str, Mapping[str, str]]:
    """Return what a policy, as asked or else as it is, sets of its indices: each setting by phase."""
    asked, there = spec.lifecycle_policies.get(name), seen.policies.get(name)
    phases: Body = policy_body(asked) if asked is not None else {} if there is None else there.phases
    found: dict[str, dict[str, str]] = {}
    for phase, body in phases.items():
        actions = body.get("actions") if isinstance(body, dict) else None
        for action, options in (actions if isinstance(actions, dict) else {}).items():
            for setting, option in _SETS.get(action, {}).items():
                value = options.get(option) if isinstance(options, dict) else None
                if value is not None:
                    found.setdefault(setting, {})[phase] = scalar(value)
    return found


def policy_body(asked: LifecyclePolicy) -> dict[str, JsonValue]:
    """Return the phases as the server has them."""
    return {
        phase.value: {"min_age": found.min_age, "actions": found.actions}
        for phase, found in asked.phases.items()
    }


def _request(phases: Body) -> str:
    return canonical({"policy": {"phases": dict(phases), "_meta": dict(OURS)}})


def _sentence(name: str, found: str, doomed: tuple[str, ...], *, is_new: bool) -> str:
    what = f"make the lifecycle policy {name}" if is_new else f"change the lifecycle policy {name}: {found}"
    if doomed:
        return f"{what}; it would delete {len(doomed)} indices now: {named(doomed)}"
    return what if is_new else f"{what}; an index follows it from its next phase on"


def _users(policy: SeenPolicy) -> str:
    indices = f"indices {named(policy.indices, 5)}" if policy.indices else ""
    templates = f"templates {named(policy.templates, 5)}" if policy.templates else ""
    return " and ".join(each for each in (indices, templates) if each)


def _after(there: SeenPolicy | None) -> float | None:
    return None if there is None else _deletes_after(there.phases)


def _begins_earlier(new_s: float | None, old_s: float | None) -> bool:
    return new_s is not None and (old_s is None or new_s < old_s)


def _deletes_after(phases: Body) -> float | None:
    """Return the age in seconds from which a policy deletes, None if it never does."""
    phase = phases.get(_DELETE)
    if not isinstance(phase, dict):
        return None
    actions = phase.get("actions")
    if not isinstance(actions, dict) or "delete" not in actions:
        return None
    try:
        return seconds(str(phase.get("min_age", "0ms")))
    except ValueError:
        return math.inf  # a server's own words that nobody understands: any change is the earlier one


def _leaves(phases: Body) -> dict[str, str]:
    """Return what counts of a policy: its phases, their ages and actions, without the server's defaults."""
    found: dict[str, str] = {}
    for phase, body in phases.items():
        if not isinstance(body, dict):
            continue
        found |= leaves({"minAge": body.get("min_age", "0ms")}, f"{phase}.")
        actions = body.get("actions")
        for action, options in (actions if isinstance(actions, dict) else {}).items():
            said = leaves(options if isinstance(options, dict) else {})
            found[f"{phase}.{action}"] = "on"
            usual = DEFAULTS.get(action, {})
            found |= {f"{phase}.{action}.{key}": text for key, text in said.items() if usual.get(key) != text}
    return found
