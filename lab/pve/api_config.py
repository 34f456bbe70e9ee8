"""/nodes/{node}/lxc/{vmid}/config and /pending."""

import copy

from lab.pve import config_access, config_change, settings
from lab.pve.call import Call
from lab.pve.locks import wait_for_flock
from lab.pve.message import ApiError, Json, died, refused_parameters
from lab.pve.snapshots import check_known
from lab.pve.state import Container


def get_config(call: Call) -> Json:
    """With pending changes merged in; ``current=1`` without, ``snapshot=`` of a snapshot."""
    container, name = call.container(), call.params.get("snapshot")
    if name is not None:
        check_known(container, name)
        values = container.snapshots[name]
    else:
        values = container.config if call.flag("current") else container.merged
    return settings.shown_all(call.world, values) | {"digest": settings.digest(container)}


def get_pending(call: Call) -> Json:
    world, container = call.world, call.container()
    rows: list[Json] = []
    for key in dict.fromkeys([*container.config, *container.pending]):
        row: dict[str, Json] = {"key": key}
        if key in container.config:
            row["value"] = settings.shown(world, key, container.config[key])
        if key in container.pending:
            row["pending"] = settings.shown(world, key, container.pending[key])
        if key in container.pending_delete:
            row["delete"] = 1
        rows.append(row)
    return [*rows, {"key": "digest", "value": settings.digest(container)}]


def put_config(call: Call) -> Json:
    """Change settings; an error after the file was written is answered, and the change stays."""
    given = {key: text for key, text in call.params.items() if key not in settings.NOT_SETTINGS}
    deleted, reverted = call.names("delete"), call.names("revert")
    if not (given or deleted or reverted):
        raise died("no options specified")
    _check_deleted(call, deleted, given)
    if not call.who.is_root:
        config_access.check(
            call.world, call.who, call.vmid, given | dict.fromkeys(deleted, ""), call.container().merged
        )
    if "hookscript" in given:
        raise died(f"script '{given['hookscript']}' does not exist")
    wait_for_flock(call)
    container = call.container()
    config_change.check_lock(container)
    config_change.check_digest(container, call.params.get("digest"))
    config_change.check_writable(call.world, container)
    stored = _store(call, container, given)
    if stored is not None:
        raise stored
    return None


def _check_deleted(call: Call, deleted: list[str], given: dict[str, str]) -> None:
    for key in deleted:
        if key in given:
            raise refused_parameters(
                {"delete": f"you can't use '-{key}' and -delete {key}' at the same time"}
            )
        if settings.property_of(call.world.version, key) is None:
            raise refused_parameters({"delete": f"unknown option '{key}'"})


def _store(call: Call, container: Container, given: dict[str, str]) -> ApiError | None:
    """Write the change; raises and restores the file if it is refused, returns a late failure."""
    before = copy.deepcopy((container.config, container.pending, container.pending_delete))
    volumes = list(call.world.volumes)
    try:
        config_change.revert(container, call.names("revert"))
        for key in call.names("delete"):
            config_change.stage_delete(container, key)
        for key, text in given.items():
            config_change.stage_value(call.world, container, key, text)
        return config_change.attempt(container, call.world, call.now)
    except ApiError:
        container.config, container.pending, container.pending_delete = before
        call.world.volumes = volumes
        raise
