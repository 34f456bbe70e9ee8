"""What an Elasticsearch cluster needs, in an order in which each thing finds what it refers to. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from crds.elasticsearch import ElasticsearchSpec, ElasticsearchStatus
from crds.meta import ConditionType, Truth
from reconcilers.contract import Note, Plan, Resource, Verdict
from reconcilers.elasticsearch.aliases import alias_problems, alias_steps, brought_aliases
from reconcilers.elasticsearch.health import (
    RED,
    Trouble,
    degraded,
    not_ready,
    read_only,
    setting_steps,
    wrong_place,
)
from reconcilers.elasticsearch.indices import (
    index_deletions,
    index_problems,
    index_steps,
    missing_indices,
)
from reconcilers.elasticsearch.lifecycle import policy_deletions, policy_problems, policy_steps
from reconcilers.elasticsearch.model import (
    ChangeAliases,
    ElasticAction,
    NoMaster,
    Put,
    SeenCluster,
    SeenElasticsearch,
    Thing,
)
from reconcilers.elasticsearch.templates import (
    ElasticStep,
    component_steps,
    template_deletions,
    template_steps,
)

ElasticPlan = Plan[ElasticAction]
_SOON: Final = timedelta(seconds=2)
"""A cluster without a master elects one within seconds, or not for long."""


def plan_elasticsearch(
    es: Resource[ElasticsearchSpec], seen: SeenElasticsearch, now: datetime
) -> ElasticPlan:
    """Make what is missing, change what may change, and say what differs."""
    before = es.status if isinstance(es.status, ElasticsearchStatus) else ElasticsearchStatus()
    if isinstance(seen, NoMaster):
        return _frozen(seen)
    status = _status(seen)
    wrong = wrong_place(es.spec, seen)
    if wrong is not None:
        return Plan(status=status, blocked=wrong)
    every = _all_steps(es, seen, now)
    steps, waiting = _allowed_now(every, seen)
    # The gate lets nothing through behind a step that may not be done.
    steps = tuple(sorted(steps, key=lambda step: step.needs not in {None, *es.spec.allow}))
    return Plan(
        steps=tuple(replace(step, independent=True) for step in steps),
        writes=tuple(_notes(before, status)),
        verdicts=tuple(_verdicts(es.spec, seen)),
        status=status,
        waiting=waiting,
        blocked=_first(
            (
                *index_problems(es.spec, seen),
                *alias_problems(es.spec, seen),
                *policy_problems(es.spec, seen),
            )
        ),
    )


def _frozen(seen: NoMaster) -> ElasticPlan:
    text = f"the cluster has no master: nothing is changed until it has elected one ({seen.message})"
    return Plan(
        waiting=text,
        verdicts=(
            Verdict(ConditionType.READY, Truth.FALSE, "NoMaster", text),
            Verdict(ConditionType.DEGRADED, Truth.TRUE, "NoMaster", text),
        ),
        recheck_after=_SOON,
    )


def _all_steps(es: Resource[ElasticsearchSpec], seen: SeenCluster, now: datetime) -> tuple[ElasticStep, ...]:
    made = {name: frozenset(brought_aliases(es.spec, seen, name)) for name in missing_indices(es.spec, seen)}
    return (
        *setting_steps(es, seen),
        *policy_steps(es, seen),
        *component_steps(es, seen),
        *template_steps(es, seen),
        *index_steps(es, seen, now),
        *alias_steps(es, seen, made),
        *template_deletions(es, seen),
        *policy_deletions(es, seen),
        *index_deletions(es, seen),
    )


def _allowed_now(
    steps: tuple[ElasticStep, ...], seen: SeenCluster
) -> tuple[tuple[ElasticStep, ...], str | None]:
    """Hold back what a red cluster, or a read-only index, does not take; say what waits for what."""
    reasons: list[str] = []
    if seen.health.status == RED:
        held = [step for step in steps if not step.action.adds]
        steps = tuple(step for step in steps if step.action.adds)
        if held:
            reasons.append(f"the cluster is red: only what adds is done, {_counted(held)}")
    closed = set(read_only(seen))
    held = [step for step in steps if closed & set(_touched(step.action))]
    if held:
        steps = tuple(step for step in steps if not closed & set(_touched(step.action)))
        names = sorted({name for step in held for name in _touched(step.action) if name in closed})
        reasons.append(f"{', '.join(names)} read-only: {_counted(held)}")
    return steps, "; ".join(reasons) or None


def _counted(held: list[ElasticStep]) -> str:
    rest = f", and {len(held) - 1} more wait" if len(held) > 1 else " waits"
    return f"“{held[0].summary}”{rest}"


def _touched(action: ElasticAction) -> tuple[str, ...]:
    match action:
        case Put(thing=Thing.INDEX_SETTINGS | Thing.MAPPING, name=name):
            return (name,)
        case ChangeAliases(indices=indices):
            return indices
        case _:
            return ()


def _status(seen: SeenCluster) -> ElasticsearchStatus:
    return ElasticsearchStatus(
        version=seen.about.version,
        cluster_name=seen.about.cluster_name,
        cluster_uuid=seen.about.cluster_uuid,
        health=seen.health.status,
        nodes=seen.health.nodes,
        lifecycle=seen.lifecycle,
        read_only=read_only(seen),
    )


def _verdicts(spec: ElasticsearchSpec, seen: SeenCluster) -> Iterable[Verdict]:
    """Say Ready only where "no steps left" is not the whole truth; Degraded always."""
    wrong = [*not_ready(spec, seen)]
    if wrong:
        yield _verdict(ConditionType.READY, Truth.FALSE, wrong)
    trouble = [*wrong, *degraded(spec, seen)]
    if trouble:
        yield _verdict(ConditionType.DEGRADED, Truth.TRUE, trouble)
    else:
        yield Verdict(ConditionType.DEGRADED, Truth.FALSE, "Whole")


def _verdict(kind: ConditionType, truth: Truth, found: list[Trouble]) -> Verdict:
    return Verdict(kind, truth, found[0][0], "; ".join(message for _, message in found))


def _first(problems: tuple[Trouble, ...]) -> Trouble | None:
    """Return the first reason with all messages."""
    return (problems[0][0], "; ".join(message for _, message in problems)) if problems else None


def _notes(before: ElasticsearchStatus, status: ElasticsearchStatus) -> Iterable[Note]:
    if before.cluster_uuid not in {None, status.cluster_uuid}:
        text = f"the cluster was made anew: {before.cluster_uuid} → {status.cluster_uuid}"
        yield Note("ClusterReplaced", text, warning=True)
    lost = [name for name in status.read_only if name not in before.read_only]
    if lost:
        yield Note("ReadOnlyIndex", f"{', '.join(lost)}: takes no changes any more", warning=True)
    if before.health is not None and before.health != status.health:
        text = f"the cluster was {before.health}, and is {status.health}"
        yield Note("ClusterHealth", text, warning=status.health == RED)
