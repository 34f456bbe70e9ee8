"""Settings as Elasticsearch keeps them: full names, texts, and what may change when."""

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from lab.es.answers import Json, illegal

#: Settings of an index that only its creation takes.
STATIC: Final = frozenset({
    "codec", "load_fixed_bitset_filters_eagerly", "mapping.coerce", "mapping.ignore_malformed", "mode",
    "number_of_routing_shards", "number_of_shards", "routing_partition_size", "routing_path",
    "shard.check_on_startup", "soft_deletes.enabled", "store.type",
})  # fmt: skip
DYNAMIC: Final = frozenset({
    "auto_expand_replicas", "default_pipeline", "final_pipeline", "gc_deletes", "hidden",
    "highlight.max_analyzed_offset",
    "max_docvalue_fields_search", "max_inner_result_window", "max_ngram_diff", "max_refresh_listeners",
    "max_regex_length", "max_rescore_window", "max_result_window", "max_script_fields", "max_shingle_diff",
    "max_terms_count", "number_of_replicas", "priority", "query.default_field", "refresh_interval",
    "search.idle.after", "analyze.max_token_count",
})  # fmt: skip
_DYNAMIC_BELOW: Final = (
    "blocks.", "indexing.slowlog.", "lifecycle.", "mapping.total_fields.", "mapping.depth.", "merge.",
    "routing.", "search.slowlog.", "translog.", "unassigned.",
)  # fmt: skip
_STATIC_BELOW: Final = ("analysis.", "similarity.", "sort.")
_CLUSTER: Final = ("action.", "cluster.", "indices.", "ingest.", "logger.", "script.", "search.", "xpack.")
_WHOLE: Final = ("number_of_shards", "number_of_replicas")


def text_of(value: JsonValue) -> JsonValue:
    """Return a value as it is given back: everything but a list is text."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case list():
            return [str(text_of(each)) for each in value]
        case _:
            return str(value)


def flat(body: Mapping[str, JsonValue], prefix: str = "") -> Json:
    """Return settings by their full names."""
    found: Json = {}
    for name, value in body.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = text_of(value)
    return found


def nested(settings: Mapping[str, JsonValue]) -> Json:
    """Return settings as they are shown without flat_settings; a name that is also a prefix keeps dots."""
    found: Json = {}
    for name, value in sorted(settings.items()):
        at, parts = found, name.split(".")
        for number, each in enumerate(parts[:-1]):
            below = at.setdefault(each, {})
            if not isinstance(below, dict):
                at[".".join(parts[number:])] = value
                break
            at = below
        else:
            at[parts[-1]] = value
    return found


def index_settings(body: Mapping[str, JsonValue]) -> Json:
    """Return settings of an index by their full names; 400 for one that there is not."""
    found: Json = {}
    for name, value in flat(body).items():
        short = name.removeprefix("index.")
        if not is_static(short) and short not in DYNAMIC and not short.startswith(_DYNAMIC_BELOW):
            raise illegal(
                f"unknown setting [index.{short}] please check that any required plugins are installed, or"
                " check the breaking changes documentation for removed settings"
            )
        if short in _WHOLE and not str(value).isdigit():
            raise illegal(f"Failed to parse value [{value}] for setting [index.{short}]")
        found[f"index.{short}"] = value
    return found


def is_static(short: str) -> bool:
    """Whether only a new index takes it; *short* is without ``index.``."""
    return short in STATIC or short.startswith(_STATIC_BELOW)


def change_cluster(kept: Json, sort: str, asked: Mapping[str, JsonValue]) -> Json:
    """Return settings of the cluster after a change; null takes one away."""
    after = dict(kept)
    for name, value in flat(asked).items():
        if not name.startswith(_CLUSTER):
            raise illegal(f"{sort} setting [{name}], not recognized")
        if value is None:
            after.pop(name, None)
        else:
            after[name] = value
    return after
