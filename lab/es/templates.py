"""Component and index templates."""

import fnmatch

from pydantic import JsonValue

from lab.es.answers import ACKNOWLEDGED, EsError, Json, illegal, not_found, part
from lab.es.settings import index_settings, nested
from lab.es.world import World, settings_of


def put_component(world: World, name: str, body: JsonValue) -> Json:
    world.components[name] = _kept(body)
    return ACKNOWLEDGED


def put_template(world: World, name: str, body: JsonValue) -> Json:
    kept = _kept(body)
    patterns = kept.get("index_patterns")
    kept["index_patterns"] = patterns if isinstance(patterns, list) else [patterns]
    kept.setdefault("composed_of", [])
    if "data_stream" in kept:
        kept["data_stream"] = {"hidden": False, "allow_custom_routing": False}
    _check(world, name, kept)
    world.templates[name] = kept
    return ACKNOWLEDGED


def get_definition(kept: dict[str, Json], what: str, name: str) -> Json:
    """Answer ``GET /_index_template/NAME`` and ``GET /_component_template/NAME``."""
    if name not in kept:
        raise not_found(what.replace("_", " "), name)
    return {f"{what}s": [{"name": name, what: kept[name]}]}


def delete_definition(world: World, what: str, name: str) -> Json:
    kept = world.components if what == "component_template" else world.templates
    if name not in kept:
        raise not_found(what.replace("_", " "), name)
    users = [each for each, body in world.templates.items() if name in _list(body.get("composed_of"))]
    if what == "component_template" and users:
        raise illegal(
            f"component templates [{name}] cannot be removed as they are still in use by index templates"
            f" [{', '.join(users)}]"
        )
    del kept[name]
    return ACKNOWLEDGED


def _kept(body: JsonValue) -> Json:
    """Return a definition as it is given back: settings as texts, below ``index``."""
    kept = dict(body) if isinstance(body, dict) else {}
    inner = dict(part(kept, "template"))
    if "settings" in inner:
        inner["settings"] = nested(index_settings(settings_of(inner)))
    if "template" in kept:
        kept["template"] = inner
    return kept


def _check(world: World, name: str, kept: Json) -> None:
    missing = [str(each) for each in _list(kept["composed_of"]) if str(each) not in world.components]
    if missing:
        reason = (
            f"index_template [{name}] invalid, cause [index template [{name}] specifies component templates"
            f" [{', '.join(missing)}] that do not exist]"
        )
        raise EsError(400, "invalid_index_template_exception", reason)
    for other, body in world.templates.items():
        same = body.get("priority", 0) == kept.get("priority", 0) and other != name
        if same and _overlap(_list(kept["index_patterns"]), _list(body["index_patterns"])):
            priority, theirs = kept.get("priority", 0), body["index_patterns"]
            raise illegal(
                f"index template [{name}] has index patterns {kept['index_patterns']} matching patterns from"
                f" existing templates [{other}] with patterns ({other} => {theirs}) that have the same"
                f" priority [{priority}], multiple index templates may not match during index creation,"
                " please use a different priority"
            )


def _overlap(left: list[JsonValue], right: list[JsonValue]) -> bool:
    return any(
        fnmatch.fnmatchcase(str(one), str(other)) or fnmatch.fnmatchcase(str(other), str(one))
        for one in left
        for other in right
    )


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
