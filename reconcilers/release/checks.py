"""What must be so before anything is changed: capacity, templates, ids, balancers, the live version. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from crds.container import ContainerSpec, ContainerStatus
from crds.meta import Verb
from crds.release import Check, Member
from crds.service import Color, ServiceSpec
from reconcilers.release.gates import gate_checks
from reconcilers.release.model import Preflight, SeenMember, Site, Well
from reconcilers.release.turn import Turn
from reconcilers.servers import Node, NodeDown

_MIB, _GIB = 1024**2, 1024**3
_STATIC = frozenset({"static-rr"})


@dataclass(frozen=True, slots=True)
class _Slot:
    """One candidate: where it will be, and what is there now."""

    seen: SeenMember
    spec: ServiceSpec
    member: Member
    wanted: ContainerSpec

    @property
    def color(self) -> Color:
        return self.member.candidate


def environment(turn: Turn) -> tuple[Check, ...]:
    """Check all that can be looked at; a check that fails may still become well by itself."""
    preflight = turn.seen.preflight
    if preflight is None:
        return (_failed("facts", "nothing was looked at yet"),)
    slots = tuple(_slots(turn))
    return (
        *_clusters(slots, preflight),
        *_places(turn, slots, preflight),
        *_balancers(slots, preflight),
        *_stable(turn),
        *gate_checks(turn),
        *_hooks(turn),
    )


def _slots(turn: Turn) -> Iterator[_Slot]:
    for seen in turn.seen.members:
        member = turn.attempt.members.get(seen.name)
        if member is not None and seen.service is not None:
            spec = seen.service.spec
            wanted = spec.container_spec(seen.name, member.candidate, turn.attempt.version)
            yield _Slot(seen, spec, member, wanted)


def _failed(name: str, message: str) -> Check:
    return Check(name=name, passed=False, message=message)


def _well(name: str, message: str) -> Check:
    return Check(name=name, passed=True, message=message)


def _clusters(slots: tuple[_Slot, ...], preflight: Preflight) -> Iterator[Check]:
    for endpoint in sorted({slot.wanted.endpoint for slot in slots}):
        here = tuple(slot for slot in slots if slot.wanted.endpoint == endpoint)
        site = preflight.sites.get(endpoint)
        if site is None or site.unseen is not None:
            why = "it was not looked at" if site is None else site.unseen
            yield _failed(f"cluster {endpoint}", f"{endpoint}: {why}")
            continue
        yield _memory(here, site)
        yield _disk(here, site)
        places = [(slot.wanted.node, slot.wanted.template) for slot in here]
        missing = [
            f"{template} on {node}" for node, template in places if (node, template) not in site.templates
        ]
        text = f"not there: {', '.join(missing)}" if missing else f"{len(here)} there"
        yield Check(name="templates", passed=not missing, message=text)


def _memory(slots: tuple[_Slot, ...], site: Site) -> Check:
    """Compare what the candidates may use with what their nodes have free; what is replaced gives its own."""
    needed: Counter[str] = Counter()
    for slot in slots:
        old = slot.seen.containers.get(slot.color)
        frees = (old.spec.memory or 0) if old is not None else 0
        needed[slot.wanted.node] += max(0, (slot.wanted.memory or 0) - frees)
    troubles = []
    for node, mebibytes in sorted(needed.items()):
        room = site.rooms.get(node)
        if room is None or not room.is_online:
            troubles.append(f"node {node} is not online")
        elif room.memory_free is None:
            troubles.append(f"the memory of {node} is not seen: the token needs Sys.Audit on /nodes/{node}")
        elif room.memory_free < mebibytes * _MIB:
            free = room.memory_free // _MIB
            troubles.append(f"node {node} has {free} MiB free, {mebibytes} MiB are needed")
    said = ", ".join(f"{node} {mebibytes} MiB" for node, mebibytes in sorted(needed.items()))
    return Check(name="memory", passed=not troubles, message="; ".join(troubles) or f"enough for {said}")


def _disk(slots: tuple[_Slot, ...], site: Site) -> Check:
    needed: Counter[tuple[str, str]] = Counter()
    for slot in slots:
        if slot.seen.containers.get(slot.color) is None:
            needed[slot.wanted.node, slot.wanted.storage] += slot.wanted.disk or 0
    troubles = []
    for (node, storage), gibibytes in sorted(needed.items()):
        free = site.storage_free.get((node, storage))
        if free is None:
            troubles.append(f"storage {storage} of {node} is not known")
        elif free < gibibytes * _GIB:
            troubles.append(f"{storage} of {node} has {free // _GIB} GiB free, {gibibytes} GiB are needed")
    return Check(name="storage", passed=not troubles, message="; ".join(troubles) or "enough")


def _places(turn: Turn, slots: tuple[_Slot, ...], preflight: Preflight) -> Iterator[Check]:
    """Look who has the container ids: nobody, or a container that may go."""
    found = (_stranger(turn, slot, preflight) for slot in slots)
    troubles = [trouble for trouble in found if trouble is not None]
    yield Check(name="container ids", passed=not troubles, message="; ".join(troubles) or "free, or ours")


def _stranger(turn: Turn, slot: _Slot, preflight: Preflight) -> str | None:
    """Say whose container has the slot's id, None if it may go."""
    site = preflight.sites.get(slot.wanted.endpoint, Site())
    there, ours = site.guests.get(slot.wanted.ctid), slot.seen.containers.get(slot.color)
    if there is None:
        return None
    place = f"CT {slot.wanted.ctid} on {slot.wanted.endpoint}"
    status = ours.status if ours is not None and isinstance(ours.status, ContainerStatus) else None
    if status is not None and status.recipe is not None:
        text = f"{place} ({there}) was adopted, not made by us: replaceAdopted: true lets it go"
        return text if status.adopted and not turn.spec.replace_adopted else None
    if turn.spec.replace_adopted and slot.spec.adopt:
        return None
    hint = f"adopt: true of {slot.seen.name} and replaceAdopted: true let it go"
    return f"{place} is {there}, which is not ours: {hint}"


def _balancers(slots: tuple[_Slot, ...], preflight: Preflight) -> Iterator[Check]:
    entries = [slot for slot in slots if slot.member.is_entry]
    troubles = [text for slot in entries for text in _wrong_backend(slot, preflight)]
    if entries:
        names = ", ".join(slot.seen.name for slot in entries)
        yield Check(name="balancer", passed=not troubles, message="; ".join(troubles) or f"as asked: {names}")


def _wrong_backend(slot: _Slot, preflight: Preflight) -> Iterator[str]:
    backend = slot.spec.backend
    nodes = preflight.balancers.get(slot.seen.name, ())
    if backend is None or not nodes:
        yield f"{slot.seen.name}: HAProxy did not answer"
        return
    for node in nodes:
        if isinstance(node, NodeDown):
            yield f"{node.name} is away: {node.reason}"
        else:
            yield from _wrong_node(slot, backend.name, node)


def _wrong_node(slot: _Slot, name: str, node: Node) -> Iterator[str]:
    backend = node.find(name)
    if backend is None:
        yield f"{node.name} has no backend {name}"
        return
    if not node.is_admin:
        yield f"the socket of {node.name} may not change anything"
    if backend.algorithm in _STATIC:
        algorithm = f"has the algorithm {backend.algorithm}, which takes no weights: roundrobin does"
        yield f"{name} on {node.name} {algorithm}"
    for color in Color:
        server = backend.find(slot.spec.server_name(color))
        asked = f"{slot.spec.colors[color].address.split('/')[0]}:{slot.spec.colors[color].port}"
        if server is None:
            yield f"{node.name} has no server {name}/{slot.spec.server_name(color)}"
        elif server.address != asked:
            goes = f"goes to {server.address}, but {color.value} listens at {asked}"
            yield f"{name}/{server.name} on {node.name} {goes}"


def _stable(turn: Turn) -> Iterator[Check]:
    """Look whether there is something sound to go back to."""
    if not turn.attempt.has_stable:
        yield _well("live version", "there is none: a first release")
        return
    troubles = []
    for seen in turn.seen.members:
        member = turn.attempt.members.get(seen.name)
        probe = seen.probes.get(member.stable) if member is not None and member.stable is not None else None
        if probe is not None and probe.well is not Well.YES:
            troubles.append(f"{seen.name}: {probe.says}")
    allowed = Verb.REPLACE_BROKEN_STABLE in turn.spec.allow
    text = "; ".join(troubles) or "well"
    if troubles and not allowed:
        text += "; allow: [replace-broken-stable] releases all the same"
    yield Check(name="live version", passed=not troubles or allowed, message=text)


def _hooks(turn: Turn) -> Iterator[Check]:
    asked = (*turn.spec.checks, *turn.spec.smoke, *turn.spec.verify)
    unknown = sorted({name for name in asked if name not in turn.seen.known_hooks})
    if asked:
        text = f"the settings have no {', '.join(unknown)}" if unknown else f"{len(asked)} known"
        yield Check(name="hooks", passed=not unknown, message=text)
