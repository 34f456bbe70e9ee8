"""Which share of the traffic each phase asks for, and whether HAProxy has it: pure."""

from collections.abc import Iterator
from typing import Final

from crds.balancer import Override, ServerShare, ServerState, TrafficSplitSpec
from crds.release import Attempt, Member, Phase
from crds.service import LIVE, Color, container_key, share_of, split_annotations, split_key
from reconcilers.contract import Amend, Note
from reconcilers.release.model import SeenMember
from reconcilers.release.phases import PROMOTED
from reconcilers.release.turn import Turn
from reconcilers.servers import NodeDown

WHOLE: Final = 100


def asked_percent(turn_attempt: Attempt, split: tuple[int, ...]) -> int | None:
    """Return the candidate's percentage in the attempt's phase, None where the phase asks for nothing."""
    phase = turn_attempt.phase
    if phase in PROMOTED:
        return WHOLE
    if phase in {Phase.SPLIT, Phase.WATCH}:
        return split[min(turn_attempt.step, len(split) - 1)] if split else 0
    return 0 if phase is Phase.ROLLING_BACK else None


def asserted(turn: Turn) -> Turn:
    """Write what the attempt's phase asks of the splits, and which colours are live; nothing if it is so."""
    percent = asked_percent(turn.attempt, turn.spec.split)
    if percent is None:
        return turn
    for seen in turn.seen.members:
        member = turn.attempt.members.get(seen.name)
        if member is None or seen.service is None:
            continue
        if member.is_entry:
            turn = turn.written(*_split(turn, seen, member, percent))
        if percent in {0, WHOLE}:
            live = member.candidate if percent == WHOLE else member.stable
            turn = turn.written(*_marks(seen, live))
    return turn


def _split(turn: Turn, seen: SeenMember, member: Member, percent: int) -> Iterator[Amend | Note]:
    if seen.service is None:
        return
    shares = wanted_shares(turn, seen, member, percent)
    old = seen.split.spec if seen.split is not None else None
    override = _kept_override(turn, member, old)
    same = old is not None and all(share_of(old, color) == share for color, share in shares.items())
    if old is not None and same and old.override == override:
        return
    spec = seen.service.spec.split_spec(seen.name, shares[Color.BLUE], shares[Color.GREEN], override)
    yield Amend(split_key(seen.name), spec, split_annotations(seen.name), seen.service.key)
    if old is not None and old.override is not None and override is None:
        text = f"{seen.name}: the rollback ends what {old.override.actor} has set: {old.override.reason}"
        yield Note("OverrideEnded", text)


def _kept_override(turn: Turn, member: Member, split: TrafficSplitSpec | None) -> Override | None:
    """Return the override that stays: a rollback ends one that gives the candidate traffic."""
    found = split.override if split is not None else None
    if found is None or turn.attempt.phase is not Phase.ROLLING_BACK:
        return found
    part = found.blue if member.candidate is Color.BLUE else found.green
    return found if part == 0 else None


def wanted_shares(turn: Turn, seen: SeenMember, member: Member, percent: int) -> dict[Color, ServerShare]:
    """Return both colours' shares; at 0 and 100 the loser is closed.

    After a promotion by drain, so that it stays checked and warm; after a rollback by maintenance, which
    moves clients that cling to it as well.
    """
    loser_state = ServerState.MAINT
    if percent == WHOLE and member.stable is not None and not turn.attempt.is_closed:
        loser_state = ServerState.DRAIN
    parts = {member.candidate: percent, member.candidate.other: WHOLE - percent}
    shares = {}
    for color, part in parts.items():
        name = seen.service.spec.server_name(color) if seen.service is not None else color.value
        state = ServerState.READY if part else loser_state
        shares[color] = ServerShare(server=name, weight=part, state=state)
    return shares


def _marks(seen: SeenMember, live: Color | None) -> Iterator[Amend]:
    """Mark which colour is live; the other one's mark says that it is not."""
    if seen.service is None or live is None:
        return
    for color, child in seen.containers.items():
        mark = "true" if color is live else "false"
        if child.annotations.get(LIVE, "false") != mark:
            annotations = {**child.annotations, LIVE: mark}
            yield Amend(container_key(seen.name, color), child.spec, annotations, seen.service.key)


def not_read_back(turn: Turn) -> str | None:
    """Return what keeps the traffic from being as the phase asks, None if HAProxy has it so."""
    percent = asked_percent(turn.attempt, turn.spec.split)
    for seen in turn.seen.members:
        member = turn.attempt.members.get(seen.name)
        if percent is None or member is None or not member.is_entry:
            continue
        if seen.split is None:
            return f"{seen.name} has no split yet"
        if _is_asked(turn, seen, member, percent) and seen.split.is_ready():
            continue
        ready = next((each for each in seen.split.conditions if each.type.value == "Ready"), None)
        return f"{seen.name}: {ready.message if ready is not None and ready.message else 'not applied yet'}"
    return None


def _is_asked(turn: Turn, seen: SeenMember, member: Member, percent: int) -> bool:
    if seen.split is None:
        return False
    shares = wanted_shares(turn, seen, member, percent)
    same = all(share_of(seen.split.spec, color) == share for color, share in shares.items())
    return same and _kept_override(turn, member, seen.split.spec) == seen.split.spec.override


def is_asked(turn: Turn, seen: SeenMember, member: Member) -> bool:
    """Whether the split's object has what the phase asks for, and HAProxy has it, too."""
    percent = asked_percent(turn.attempt, turn.spec.split)
    return (
        percent is not None
        and _is_asked(turn, seen, member, percent)
        and seen.split is not None
        and seen.split.is_ready()
        and seen.split.spec.override is None
    )


def overridden(turn: Turn) -> str | None:
    """Return who has taken the traffic into his hands, None if nobody has."""
    for seen in turn.seen.members:
        found = seen.split.spec.override if seen.split is not None else None
        if found is not None and turn.now < found.until:
            return (
                f"{seen.name}'s traffic is set by {found.actor} until {found.until:%H:%M} UTC: {found.reason}"
            )
    return None


def standstill(turn: Turn) -> str | None:
    """Return what keeps all releases, or the traffic of this one, as they are; None if nothing does."""
    freeze = turn.seen.freeze
    if freeze is not None and turn.now < freeze.until:
        return f"Frozen until {freeze.until:%Y-%m-%d %H:%M} UTC by {freeze.actor}: {freeze.reason}"
    return overridden(turn)


def connections(seen: SeenMember, color: Color) -> int | None:
    """Return the requests that a colour's server holds on all nodes, None while it is not known."""
    if seen.counted is None or seen.service is None:
        return None
    held = 0
    for node in seen.counted:
        server = None if isinstance(node, NodeDown) else node.find(seen.service.spec.server_name(color))
        if server is None:
            return None
        held += server.counters.sessions + server.counters.queued
    return held


def requests(seen: SeenMember, colors: tuple[Color, ...]) -> int | None:
    """Return what the colours' servers have counted on all nodes, None while it is not known."""
    if seen.counted is None or seen.service is None:
        return None
    total = 0
    for node in seen.counted:
        if isinstance(node, NodeDown):
            continue
        for color in colors:
            server = node.find(seen.service.spec.server_name(color))
            total += server.counters.total if server is not None else 0
    return total


def is_empty(split: TrafficSplitSpec, color: Color) -> bool:
    """Whether new clients never come to that colour."""
    return share_of(split, color).part == 0
