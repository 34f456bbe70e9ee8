"""A container's settings in Proxmox's own normal forms: what differs, and how it is written."""

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from crds.container import ContainerSpec, Features, NetworkInterface, Startup
from crds.quantity import mebibytes_text
from reconcilers.container.model import NO_CONFIG, Config, Properties
from reconcilers.contract import Change

OUR_TAG: Final = "psa"
OWNER_TAG: Final = "psa-u-"
RECIPE_TAG: Final = "psa-r-"
ADOPTED_TAG: Final = "psa-a"


@dataclass(frozen=True, slots=True)
class Difference:
    """One option that is not as asked. ``value`` None clears it; ``is_live`` needs no restart."""

    option: str
    value: str | None
    words: str
    changes: tuple[Change, ...]
    is_live: bool = True


def parse_properties(text: str, default_key: str = "") -> Properties:
    """Read ``key=value,…``; a part without ``=`` is the value of *default_key*."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return tuple((key, value) if found else (default_key, key) for key, found, value in pairs)


def print_properties(properties: Mapping[str, str], first: tuple[str, ...] = ()) -> str:
    """Write ``key=value,…`` with *first* in front and the rest sorted, as Proxmox does."""
    keys = [key for key in first if key in properties]
    keys += sorted(key for key in properties if key not in first)
    return ",".join(f"{key}={properties[key]}" for key in keys)


def parse_size(text: str) -> int:
    """Read a disk size such as ``512M`` into bytes; raise ValueError for what is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
    if match is None:
        raise ValueError(f"{text!r} is no disk size")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2] or " "))


def parse_tags(text: str) -> frozenset[str]:
    """Read a tag list; Proxmox stores none as one blank, and compares without case."""
    return frozenset(tag.lower() for tag in re.split(r"[,;\s]+", text) if tag)


def print_tags(tags: Iterable[str]) -> str:
    return ";".join(sorted(tags))


def owner_tag(uid: str) -> str:
    """Return the stamp of the object with that uid."""
    return f"{OWNER_TAG}{uid[:8]}"


def recipe_tag(spec: ContainerSpec) -> str:
    """Return the stamp of what Proxmox does not remember of a creation: the template, and the attempt."""
    made_of = spec.template if spec.incarnation is None else f"{spec.template} {spec.incarnation}"
    return f"{RECIPE_TAG}{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"


def _unknown_recipe(uid: str) -> str:
    """Return the stamp of what was adopted where a release wants its candidate: it is not that candidate."""
    return f"{RECIPE_TAG}{hashlib.sha256(f'adopted {uid}'.encode()).hexdigest()[:12]}"


def recipe_of(config: Config) -> str | None:
    """Return the stamp that says what a container was made from, None if it has none."""
    return min((tag for tag in config.tags if tag.startswith(RECIPE_TAG)), default=None)


def is_owner_tag(tag: str) -> bool:
    """Whether *tag* is the stamp of an object of ours, this one or another."""
    return tag.startswith(OWNER_TAG)


def is_stamp(tag: str) -> bool:
    """Whether *tag* is one of ours, which no spec can ask for."""
    return tag in {OUR_TAG, ADOPTED_TAG} or tag.startswith((OWNER_TAG, RECIPE_TAG))


def differences(spec: ContainerSpec, name: str, uid: str, config: Config) -> tuple[Difference, ...]:
    """Return what has to be set so that *config* becomes what *spec* declares; the rest is left alone.

    Disk size and create-time fields are not among it: they are no settings.
    """
    return (
        *_texts(spec, name, config),
        *_amounts(spec, config),
        *_switches(spec, config),
        *_interface(spec.network, dict(config.net0)),
        *_features(spec.features, dict(config.features)),
        *_startup(spec.startup, dict(config.startup)),
        *_tags(spec, uid, config),
    )


def _shown(value: object) -> str:
    return "none" if value in {None, ""} else str(value)


def _texts(spec: ContainerSpec, name: str, config: Config) -> Iterator[Difference]:
    hostname = spec.hostname or name
    if config.hostname != hostname:
        yield _simple("hostname", hostname, _shown(config.hostname), hostname)
    for option, wanted, seen in (
        ("nameserver", spec.nameserver, config.nameserver),
        ("searchdomain", spec.searchdomain, config.searchdomain),
    ):
        if wanted is not None and wanted.split() != seen.split():
            yield _simple(option, wanted, _shown(seen), wanted, is_live=False)
    if spec.description is not None and spec.description.rstrip("\n") != config.description.rstrip("\n"):
        text = spec.description.rstrip("\n")
        change = Change("spec.description", config.description.rstrip("\n"), text)
        yield Difference("description", text or None, "description", (change,))


def _simple(option: str, value: str, old: str, new: str, *, is_live: bool = True) -> Difference:
    return Difference(
        option, value, f"{option} {old} → {new}", (Change(f"spec.{option}", old, new),), is_live
    )


def _amounts(spec: ContainerSpec, config: Config) -> Iterator[Difference]:
    if spec.cores is not None and spec.cores != config.cores:
        old = "all" if config.cores is None else str(config.cores)
        yield _simple("cores", str(spec.cores), old, str(spec.cores))
    for option, wanted, seen in (
        ("memory", spec.memory, config.memory_mib),
        ("swap", spec.swap, config.swap_mib),
    ):
        if wanted is not None and wanted != seen:
            change = Change(f"spec.{option}", mebibytes_text(seen), mebibytes_text(wanted))
            yield Difference(option, str(wanted), f"{option} {seen} → {wanted} MiB", (change,))


def _switches(spec: ContainerSpec, config: Config) -> Iterator[Difference]:
    for option, path, wanted, seen in (
        ("onboot", "spec.onBoot", spec.on_boot, config.on_boot),
        ("protection", "spec.protection", spec.protection, config.protection),
    ):
        if wanted is not None and wanted != seen:
            old, new = _word(seen), _word(wanted)
            yield Difference(option, str(int(wanted)), f"{option} {old} → {new}", (Change(path, old, new),))


def _word(value: bool) -> str:  # noqa: FBT001 - a conversion, not a switch
    return "yes" if value else "no"


def _interface(wanted: NetworkInterface | None, seen: dict[str, str]) -> Iterator[Difference]:
    """Keys that the spec leaves out stay, the MAC address above all: Proxmox would invent a new one."""
    if wanted is None:
        return
    asked = {
        "name": ("name", wanted.name),
        "bridge": ("bridge", wanted.bridge),
        "tag": ("vlan", wanted.vlan),
        "ip": ("address", wanted.address),
        "gw": ("gateway", wanted.gateway),
        "firewall": ("firewall", None if wanted.firewall is None else int(wanted.firewall)),
        "mtu": ("mtu", wanted.mtu),
        "rate": ("rate", None if wanted.rate is None else f"{wanted.rate:g}"),
    }
    changes = []
    merged = dict(seen)
    for key, (field, value) in asked.items():
        if value is None or _same(key, seen.get(key), str(value)):
            continue
        merged[key] = str(value)
        changes.append(Change(f"spec.network.{field}", _shown(seen.get(key)), str(value)))
    if changes:
        words = ", ".join(
            f"{change.path.removeprefix('spec.')} {change.old} → {change.new}" for change in changes
        )
        yield Difference("net0", print_properties(merged, first=("name", "bridge")), words, tuple(changes))


def _same(key: str, seen: str | None, wanted: str) -> bool:
    if key == "firewall":
        return (seen or "0") == wanted
    if key == "rate" and seen is not None:
        return math.isclose(float(seen), float(wanted), rel_tol=1e-6)
    return seen == wanted


def _features(wanted: Features | None, seen: dict[str, str]) -> Iterator[Difference]:
    if wanted is None:
        return
    changes = []
    merged = dict(seen)
    for key, flag in (("nesting", wanted.nesting), ("keyctl", wanted.keyctl), ("fuse", wanted.fuse)):
        is_on = seen.get(key, "0") == "1"
        if flag is None or flag == is_on:
            continue
        merged.pop(key, None)
        if flag:
            merged[key] = "1"
        changes.append(Change(f"spec.features.{key}", _word(is_on), _word(flag)))
    if changes:
        words = ", ".join(
            f"{change.path.removeprefix('spec.')} {change.old} → {change.new}" for change in changes
        )
        # An empty text is refused for some tokens; deleting is not (proxmox.md §3 trap 7).
        yield Difference("features", print_properties(merged) or None, words, tuple(changes), is_live=False)


def _startup(wanted: Startup | None, seen: dict[str, str]) -> Iterator[Difference]:
    if wanted is None:
        return
    asked = {"order": str(wanted.order), "up": _seconds(wanted.up), "down": _seconds(wanted.down)}
    merged = seen | {key: value for key, value in asked.items() if value is not None}
    if {key: int(value) for key, value in merged.items()} != {key: int(value) for key, value in seen.items()}:
        keys = ("order", "up", "down")
        old, new = print_properties(seen, first=keys), print_properties(merged, first=keys)
        change = Change("spec.startup", _shown(old), new)
        yield Difference("startup", new, f"startup {_shown(old)} → {new}", (change,))


def _seconds(duration: timedelta | None) -> str | None:
    return None if duration is None else str(math.ceil(duration.total_seconds()))


def _tags(spec: ContainerSpec, uid: str, config: Config) -> Iterator[Difference]:
    seen = config.tags
    recipes = {tag for tag in seen if tag.startswith(RECIPE_TAG)}
    # The recipe of the existing container stays until it is made anew; it says what it was made from.
    is_adopted_now = config is not NO_CONFIG and owner_tag(uid) not in seen
    made = _unknown_recipe(uid) if is_adopted_now and spec.incarnation is not None else recipe_tag(spec)
    recipe = made if not recipes or recipe_tag(spec) in recipes else min(recipes)
    asked = seen if spec.tags is None else frozenset(spec.tags)
    wanted = {tag for tag in asked if not is_stamp(tag)} | {OUR_TAG, owner_tag(uid), recipe}
    if ADOPTED_TAG in seen or is_adopted_now:
        wanted.add(ADOPTED_TAG)
    if wanted != seen:
        old, new = _shown(print_tags(seen)), print_tags(wanted)
        yield Difference("tags", new, f"tags {old} → {new}", (Change("spec.tags", old, new),))


def creation_options(spec: ContainerSpec, name: str, uid: str) -> Properties:
    """Return what a container is created with, all but its id and template in the form of settings."""
    options = {d.option: d.value for d in differences(spec, name, uid, NO_CONFIG) if d.value is not None}
    disk = {"storage": spec.storage} if spec.disk is None else {"rootfs": f"{spec.storage}:{spec.disk}"}
    fixed = {
        "vmid": str(spec.ctid),
        "ostemplate": spec.template,
        "unprivileged": str(int(spec.unprivileged)),
        **disk,
    }
    return tuple(sorted((fixed | options).items()))
