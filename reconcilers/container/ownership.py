"""Whose container it is that has our id: pure. Nothing without our stamp is ever destroyed."""

from crds.container import ContainerSpec
from reconcilers.container.model import Place, SeenContainer
from reconcilers.container.settings import is_owner_tag, owner_tag
from reconcilers.contract import Change, Resource


def is_ours(container: Resource[ContainerSpec], world: SeenContainer) -> bool:
    """Whether it carries the stamp of this very object."""
    return owner_tag(container.uid) in world.config.tags


def stranger(container: Resource[ContainerSpec], place: Place, world: SeenContainer) -> str | None:
    """Return why it must be adopted before it is changed, None if it is ours."""
    if is_ours(container, world):
        return None
    stamps = sorted(tag for tag in world.config.tags if is_owner_tag(tag))
    if stamps:
        return f"{place} carries the stamp of another object ({', '.join(stamps)})"
    return f"{place} exists already and was not made by us"


def half_made(place: Place, world: SeenContainer) -> tuple[str, str] | None:
    """Return what to do about a creation whose worker died; no token can unlock it (proxmox.md §2.4)."""
    if world.lock != "create" or world.config.hostname is not None:
        return None
    message = (
        f"{place} is half created (lock: create) and no task of ours is at work on it; if none is at all,"
        f" run on {place.node}: pct unlock {place.ctid} && pct destroy {place.ctid}"
    )
    return "HalfCreated", message


def taken(container: Resource[ContainerSpec], place: Place, world: SeenContainer) -> tuple[str, str] | None:
    """Return why nothing may be done to what is there, whatever ``adopt`` says."""
    config, spec = world.config, container.spec
    if config.is_template:
        return "IdTaken", f"{place} is a template"
    if is_ours(container, world):
        return None
    hostname = spec.hostname or container.key.name
    if config.hostname != hostname:
        return "IdTaken", f"{place} is {config.hostname or 'nameless'}, not {hostname}: it is not ours"
    made = made_otherwise(spec, world)
    if made:
        words = ", ".join(f"{change.path} {change.old} → {change.new}" for change in made)
        return "CannotAdopt", f"{place} was made otherwise ({words}): the spec has to say what is there"
    return None


def made_otherwise(spec: ContainerSpec, world: SeenContainer) -> tuple[Change, ...]:
    """Return the create-time fields that Proxmox shows and that are not as asked."""
    changes = []
    root = world.config.root
    if root is not None and root.storage != spec.storage:
        changes.append(Change("spec.storage", root.storage, spec.storage))
    if world.config.unprivileged != spec.unprivileged:
        old, new = ("yes" if value else "no" for value in (world.config.unprivileged, spec.unprivileged))
        changes.append(Change("spec.unprivileged", old, new))
    return tuple(changes)
