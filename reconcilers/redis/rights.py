"""What ACL rules come to, so that rules of another spelling are no difference: pure.

Redis 7.0 shows an account's command rules in a form of its own (``+@read -get +get`` comes back as
``+@read``, in another order), so two texts are compared by the commands that they allow.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final

from crds.redis import RedisAccount
from reconcilers.contract import Secret
from reconcilers.redis.model import Account

Catalog = Mapping[str, frozenset[str]]

#: What the daemon itself runs. AUTH needs no right.
NEEDED: Final = (
    "info",
    "config|get",
    "config|set",
    "config|rewrite",
    "acl|whoami",
    "acl|getuser",
    "acl|setuser",
    "acl|cat",
    "acl|save",
    "command|info",
    "cluster|info",
    "replicaof",
)
_PATTERN: Final = re.compile(r"(?:(?:%(?P<ways>RW|WR|R|W))?~)?(?P<glob>.+)")
_IS_RULE: Final = re.compile(r"(%(RW|WR|R|W))?~.+")


def allowed(rules: Iterable[str], catalog: Catalog) -> frozenset[str]:
    """Return the commands that *rules*, taken in their order, allow; subcommands as ``config|get``."""
    every = frozenset().union(*catalog.values())
    found: frozenset[str] = frozenset()
    for rule in rules:
        meant = _meant(rule[1:].lower(), every, catalog)
        found = found | meant if rule.startswith("+") else found - meant
    # ``select|0`` beside all of select is nothing more, and Redis forgets it.
    return found - {each for each in found - every if each.partition("|")[0] in found}


def _meant(what: str, every: frozenset[str], catalog: Catalog) -> frozenset[str]:
    if what == "@all":
        return every
    if what.startswith("@"):
        return catalog.get(what[1:], frozenset())
    below = frozenset(each for each in every if each.startswith(f"{what}|"))
    # ``select|0`` is no command but a first argument: it stands for itself.
    return below or frozenset({what})


def unknown_rules(rules: Iterable[str], catalog: Catalog) -> tuple[str, ...]:
    """Return the rules that name no command or category of this server."""
    every = frozenset().union(*catalog.values())
    return tuple(rule for rule in rules if not _is_known(rule[1:].lower(), every, catalog))


def _is_known(what: str, every: frozenset[str], catalog: Catalog) -> bool:
    if what.startswith("@"):
        return what == "@all" or what[1:] in catalog
    base = what.partition("|")[0]
    return what in every or base in every or any(each.startswith(f"{what}|") for each in every)


def patterns(globs: Iterable[str]) -> frozenset[str]:
    """Return key patterns in one form: ``R`` and ``W`` before each glob, as it may be used."""
    ways: dict[str, set[str]] = {}
    for each in globs:
        match = _PATTERN.fullmatch(each)
        if match is not None:
            ways.setdefault(match["glob"], set()).update(match["ways"] or "RW")
    return frozenset(f"{''.join(sorted(found))}~{glob}" for glob, found in ways.items())


def fingerprint(password: Secret) -> str:
    """Return what Redis keeps of a password."""
    return hashlib.sha256(password.value.encode("utf-8", "surrogateescape")).hexdigest()


def rules_for(account: RedisAccount) -> tuple[str, ...]:
    """Return what ACL SETUSER is told, all but the passwords: from nothing, so that nothing is left over."""
    return (
        "reset",
        # What "reset" leaves of channels is what acl-pubsub-default says, which may be all.
        "resetchannels",
        "on" if account.enabled else "off",
        *(_key_rule(each) for each in account.keys),
        *(f"&{each}" for each in account.channels),
        *account.commands,
    )


def _key_rule(pattern: str) -> str:
    return pattern if _IS_RULE.fullmatch(pattern) else f"~{pattern}"


def account_differences(
    wanted: RedisAccount, hashes: frozenset[str], found: Account, catalog: Catalog
) -> tuple[tuple[str, str, str], ...]:
    """Return what differs, each with its field, what is found and what is wanted; no hash is shown."""
    rows: list[tuple[str, str, str]] = []
    if found.is_enabled != wanted.enabled:
        rows.append(("enabled", _word(found.is_enabled), _word(wanted.enabled)))
    if found.hashes != hashes or found.needs_no_password:
        old = "none needed" if found.needs_no_password else "others"
        rows.append(("passwords", old, "as the secrets say"))
    if patterns(found.keys) != patterns(wanted.keys):
        rows.append(("keys", _listed(found.keys), _listed(_key_rule(each) for each in wanted.keys)))
    if set(found.channels) != {f"&{each}" for each in wanted.channels}:
        rows.append(("channels", _listed(found.channels), _listed(f"&{each}" for each in wanted.channels)))
    if allowed(found.commands.split(), catalog) != allowed(wanted.commands, catalog):
        rows.append(("commands", found.commands, _listed(wanted.commands)))
    if found.has_selectors or found.skips_checks:
        rows.append(("rights", "more by selectors or skip-sanitize-payload", "none beside these"))
    return tuple(rows)


def _word(value: bool) -> str:  # noqa: FBT001 - a conversion, not a switch
    return "yes" if value else "no"


def _listed(words: Iterable[str]) -> str:
    return " ".join(words) or "none"


def lost_rights(rules: Iterable[str], catalog: Catalog) -> tuple[str, ...]:
    """Return what the daemon could not do any more under *rules*."""
    left = allowed(rules, catalog)
    return tuple(each for each in NEEDED if each not in left)
