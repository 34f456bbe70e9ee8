"""Which objects somebody means: kinds with their short names, Kind/name, or a name alone."""

from collections.abc import Sequence
from typing import Final

from daemon.cli.facts import Thing
from daemon.cli.failures import NotFoundError
from daemon.sources.nearest import nearest

#: Short names and plurals. crds.kinds has the kinds; importing it would cost ten times the start of psactl.
KIND_WORDS: Final = {
    "Container": ("ct", "cts", "containers"),
    "Elasticsearch": ("es", "elastic", "elasticsearches"),
    "LoadBalancer": ("lb", "lbs", "loadbalancers"),
    "PostgresCluster": ("pg", "postgres", "postgresclusters"),
    "RabbitMQ": ("rmq", "rabbit", "rabbitmqs"),
    "RedisInstance": ("redis", "redisinstances"),
    "Release": ("rel", "rels", "releases"),
    "Service": ("svc", "svcs", "services"),
    "TrafficSplit": ("split", "splits", "trafficsplits"),
}
_KINDS: Final = {word: kind for kind, words in KIND_WORDS.items() for word in (kind.lower(), *words)}


def kind_named(word: str) -> str | None:
    """Return the kind that a word means, None if it means none."""
    return _KINDS.get(word.lower())


def key_named(word: str) -> str | None:
    """Return ``Kind/name`` for a word of that form, None for another form; raise NotFoundError."""
    kind, slash, name = word.partition("/")
    if not slash:
        return None
    found = kind_named(kind)
    if found is None:
        raise NotFoundError(f"there is no kind {kind}", _meant(kind, _KINDS) or _all_kinds())
    return f"{found}/{name}"


def selected(words: Sequence[str], objects: Sequence[Thing]) -> tuple[Thing, ...]:
    """Return the objects that *words* mean, all of them for no words; raise NotFoundError with a suggestion.

    A kind means all of its objects, or, with bare names after it, those of them (``ct psa-redis``).
    """
    if not words:
        return tuple(objects)
    by_key = {found.key: found for found in objects}
    chosen: dict[str, Thing] = {}
    for kind, names in _groups(words):
        if kind is not None and not names:
            chosen |= {found.key: found for found in objects if found.kind == kind}
        for name in names:
            found = by_key.get(f"{kind}/{name}") if kind else _by_word(name, by_key)
            if found is None:
                raise unknown(f"{kind}/{name}" if kind else name, objects)
            chosen[found.key] = found
    return tuple(sorted(chosen.values(), key=lambda found: (found.kind, found.name)))


def means(words: Sequence[str], found: Thing) -> bool:
    """Whether *words* choose this object; what they do not know is no error here."""
    for kind, names in _groups(words):
        keys = {f"{kind}/{name}" if kind else key_named(name) or f"{found.kind}/{name}" for name in names}
        if found.key in keys or (kind == found.kind and not names):
            return True
    return not words


def _groups(words: Sequence[str]) -> list[tuple[str | None, list[str]]]:
    """Return each kind with the bare names after it; words of another form have no kind."""
    groups: list[tuple[str | None, list[str]]] = []
    for word in words:
        kind = kind_named(word)
        if kind is not None:
            groups.append((kind, []))
        elif "/" in word or not groups or groups[-1][0] is None:
            groups.append((None, [word]))
        else:
            groups[-1][1].append(word)
    return groups


def _by_word(word: str, by_key: dict[str, Thing]) -> Thing | None:
    key = key_named(word)
    if key is not None:
        return by_key.get(key)
    named = [found for found in by_key.values() if found.name == word]
    if len(named) > 1:
        raise NotFoundError(f"{word} may be {' or '.join(found.key for found in named)}", "say which one")
    return named[0] if named else None


def unknown(word: str, objects: Sequence[Thing]) -> NotFoundError:
    """Return the error for a word that means nothing, with what it may be meant to be."""
    key = key_named(word)
    kind, _, name = (key or "").partition("/")
    if key is not None:
        message, allowed = f"there is no {key}", [found.name for found in objects if found.kind == kind]
        close = nearest(name, allowed)
        hint = f"did you mean {kind}/{close}?" if close else f"psactl get {kind} lists what there is"
        return NotFoundError(message, hint)
    hint = _meant(word, [*_KINDS, *(found.name for found in objects)]) or _all_kinds()
    return NotFoundError(f"there is neither a kind nor an object {word}", hint)


def _meant(word: str, allowed: Sequence[str] | dict[str, str]) -> str | None:
    close = nearest(word, allowed)
    return f"did you mean {_KINDS.get(close, close)}?" if close else None


def _all_kinds() -> str:
    return "kinds: " + ", ".join(f"{kind} ({words[0]})" for kind, words in KIND_WORDS.items())
