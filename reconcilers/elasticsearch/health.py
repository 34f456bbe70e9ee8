"""What is verified of a cluster and what is set of itself: identity, version, health, blocks. Pure."""

import re
from collections.abc import Iterable
from typing import Final

from pydantic import JsonValue

from crds.elasticsearch import ClusterHealth, ClusterSettingValue, ElasticsearchSpec
from crds.versions import is_older
from reconcilers.amounts import between
from reconcilers.contract import Resource, Step, StepClass
from reconcilers.elasticsearch.aliases import writer
from reconcilers.elasticsearch.model import Body, Put, SeenCluster, Thing
from reconcilers.elasticsearch.normal import canonical, changes, is_true, leaves, listed, named, scalar
from reconcilers.elasticsearch.templates import ElasticStep

#: Composable templates and the answers that this program reads are those of this version on.
OLDEST: Final = "8.0"
RED: Final = "red"
_FULL_DISK: Final = "index.blocks.read_only_allow_delete"
_BY_HAND: Final = "index.blocks.read_only"
_NO_WRITES: Final = "index.blocks.write"
_CLUSTER_BLOCKS: Final = ("cluster.blocks.read_only", "cluster.blocks.read_only_allow_delete")
_HIGH: Final = "cluster.routing.allocation.disk.watermark.high"
_USUAL_HIGH: Final = "90%"
Trouble = tuple[str, str]


def wrong_place(spec: ElasticsearchSpec, seen: SeenCluster) -> Trouble | None:
    """Return why nothing at all is changed here."""
    about = seen.about
    if about.distribution:
        text = f"{about.distribution} {about.version} answers: this kind is for Elasticsearch"
        return "NotElasticsearch", text
    if spec.cluster_name not in {None, about.cluster_name}:
        names = f"the cluster's name is {about.cluster_name}, {spec.cluster_name} is asked"
        text = f"{names}: nothing is changed there"
        return "WrongCluster", text
    if is_older(about.version, OLDEST):
        text = f"it runs Elasticsearch {about.version}, this program needs at least {OLDEST}"
        return "VersionTooLow", text
    return None


def setting_steps(es: Resource[ElasticsearchSpec], seen: SeenCluster) -> Iterable[ElasticStep]:
    """Yield the one step that sets the cluster's settings; a transient value that hides one goes with it."""
    asked = {name: _sent(value) for name, value in es.spec.cluster_settings.items()}
    want = {name: scalar(value) for name, value in asked.items()}
    persistent, transient = leaves(seen.settings.persistent), leaves(seen.settings.transient)
    hidden = [name for name, text in want.items() if transient.get(name, text) != text]
    wrong = [name for name, text in want.items() if persistent.get(name) != text]
    if not wrong and not hidden:
        return
    body: dict[str, JsonValue] = {"persistent": {name: asked[name] for name in sorted({*wrong, *hidden})}}
    if hidden:
        body["transient"] = dict.fromkeys(sorted(hidden))
    now = {**persistent, **{name: transient[name] for name in hidden}}
    names = {*wrong, *hidden}
    found = changes({name: want[name] for name in names}, {name: now[name] for name in names & {*now}})
    also = f"; take away the transient value that hides {named(hidden)}" if hidden else ""
    yield Step(
        Put(es.spec.endpoint, Thing.CLUSTER_SETTINGS, "cluster", canonical(body)),
        StepClass.ABSOLUTE,
        target="cluster settings",
        summary=f"set {listed(found)} of the cluster{also}",
        changes=found,
        origin=es.where("spec.clusterSettings"),
    )


def _sent(value: ClusterSettingValue) -> JsonValue:
    return [*value] if isinstance(value, tuple) else value


def read_only(seen: SeenCluster) -> tuple[str, ...]:
    """Return the indices that take no change, by name."""
    every = {**seen.matched, **{name: each.settings for name, each in seen.indices.items()}}
    return tuple(sorted(name for name, found in every.items() if _is_on(found, _FULL_DISK, _BY_HAND)))


def not_ready(spec: ElasticsearchSpec, seen: SeenCluster) -> Iterable[Trouble]:
    """Yield what makes the cluster unfit for those who use it."""
    version, floor = seen.about.version, spec.minimum_version
    if floor is not None and is_older(version, floor):
        yield "VersionTooLow", f"it runs Elasticsearch {version}, at least {floor} is asked"
    health = seen.health
    if health.status == RED:
        shards = between(health.unassigned_shards)
        yield "ClusterRed", f"the cluster is red: {shards} shards are on no node, primaries among them"


def degraded(spec: ElasticsearchSpec, seen: SeenCluster) -> Iterable[Trouble]:
    """Yield what it lacks while it works."""
    health = seen.health
    if health.status == "yellow" and spec.health is ClusterHealth.GREEN:
        text = (
            f"the cluster is yellow: {between(health.unassigned_shards)} copies of shards are on no node"
            f" of {health.data_nodes} that hold data"
        )
        yield "ClusterYellow", text
    yield from _blocks(spec, seen)
    if seen.lifecycle not in {None, "RUNNING"}:
        yield "LifecycleStopped", f"ILM is {seen.lifecycle}: no index is rolled over or deleted"
    if seen.stuck:
        shown = [f"{index} ({why})" for index, why in sorted(seen.stuck.items())]
        yield "LifecycleStuck", f"ILM is stuck with {named(shown, 3)}"


def _blocks(spec: ElasticsearchSpec, seen: SeenCluster) -> Iterable[Trouble]:
    every = {**seen.matched, **{name: each.settings for name, each in seen.indices.items()}}
    settings = {**seen.settings.persistent, **seen.settings.transient}
    if _is_on(settings, *_CLUSTER_BLOCKS):
        yield "ReadOnlyCluster", "somebody set cluster.blocks: the whole cluster is read-only"
    full = sorted(name for name, found in every.items() if _is_on(found, _FULL_DISK))
    if full:
        text = (
            f"{named(full, 5)}: read-only since a disk passed the flood-stage watermark (or by hand);"
            " Elasticsearch lifts it when there is room, this program never does"
        )
        yield "FloodStage", text
    closed = sorted(name for name, found in every.items() if _is_on(found, _BY_HAND))
    if closed:
        yield "ReadOnlyIndex", f"{named(closed, 5)}: somebody set {_BY_HAND}; this program never lifts it"
    targets = {writer(seen.aliases.get(name, {})) for name in spec.aliases}
    mute = sorted(name for name in targets if name is not None and _is_on(every.get(name, {}), _NO_WRITES))
    if mute:
        yield "WritesBlocked", f"{named(mute, 5)}: takes what is written to an alias, and {_NO_WRITES} is set"


def _is_on(settings: Body, *names: str) -> bool:
    return any(is_true(settings.get(name)) for name in names)


def disk_high_ratio(seen: SeenCluster) -> float | None:
    """Return the part of a disk from which on shards move away; None where it is said in bytes."""
    text = scalar({**seen.settings.persistent, **seen.settings.transient}.get(_HIGH, _USUAL_HIGH))
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?)(%?)", text)
    if found is None:
        return None
    return float(found[1]) / 100 if found[2] else float(found[1])
