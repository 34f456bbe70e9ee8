"""Writes docs/reference from the models, so that it says what the program checks. `--check` only compares."""

import argparse
import re
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from crds.balancer import ServerShare, ServerState, TrafficSplitSpec
from crds.kinds import FILE_KINDS, KINDS, STATUSES
from crds.meta import API_VERSION, ConditionType, Key, Metadata, Spec, Verb, canonical
from daemon.layers import SENTENCES
from daemon.settings import Settings
from daemon.sources.wording import PATTERNS

ROOT: Final = Path(__file__).parents[1]
TARGET: Final = ROOT / "docs/reference"
#: Pages of the same folder that are made elsewhere.
OTHERS: Final = frozenset({"metrics.md", "release-phases.md"})
SCALARS: Final = {"boolean": "`true` or `false`", "integer": "whole number", "number": "number"}
HEAD: Final = "<!-- Written by `make docs` from the models. Changes here are lost. -->\n\n"

#: What each pattern of the models means, in the words of the errors.
MEANINGS: Final = {**SENTENCES, **PATTERNS}
#: Where each kind's example stands; it is real desired state, and tests validate it.
EXAMPLES: Final = {
    "Container": "examples/psa-platform/data/psa-redis.yaml",
    "Elasticsearch": "examples/psa-platform/data-services/psa-elasticsearch.yaml",
    "LoadBalancer": "examples/psa-platform/balancer.yaml",
    "PostgresCluster": "examples/psa-platform/data-services/psa-db.yaml",
    "RabbitMQ": "examples/psa-platform/data-services/psa-rabbitmq.yaml",
    "RedisInstance": "examples/psa-platform/data-services/psa-redis.yaml",
    "Release": "examples/psa-platform/release.yaml",
    "Service": "examples/psa-platform/services/psa-api-gateway.yaml",
}
SPLIT: Final = TrafficSplitSpec(
    service="psa-api-gateway",
    endpoint="edge",
    backend="api_backend",
    blue=ServerShare(server="blue", weight=100, state=ServerState.READY),
    green=ServerShare(server="green", weight=0, state=ServerState.MAINT),
)
CONDITIONS: Final[Mapping[ConditionType, tuple[str, str]]] = {
    ConditionType.READY: (
        "It works and matches its file.",
        "It does not, or was not seen for three poll intervals (`Unknown`).",
    ),
    ConditionType.SYNCED: (
        "No difference was found, or the last change removed it.",
        "There is a difference.",
    ),
    ConditionType.PROGRESSING: (
        "Something is under way or awaited: a task, a lock, a look that verifies.",
        "Nothing is.",
    ),
    ConditionType.DEGRADED: ("It runs with less than was asked for.", "It does not lack anything."),
    ConditionType.DRIFTED: ("Somebody else changed it after it was in order.", "It is as we left it."),
    ConditionType.STALLED: (
        "It will not move until the file changes or a person acts; the reason says what.",
        "Nothing stands in the way.",
    ),
    ConditionType.DEPENDENCIES_READY: ("All of `dependsOn` is Ready.", "It waits for the ones named."),
    ConditionType.ADOPTED: (
        "The real thing is ours.",
        "It exists, is not ours and would be changed: it waits for `adopt: true`.",
    ),
    ConditionType.SOURCE_VALID: (
        "Its file is understood.",
        "Its file is broken or gone; the last good version stays in force.",
    ),
}
VERBS: Final[Mapping[Verb, str]] = {
    Verb.RECREATE: "Destroy the container and make it anew: a field changed that only counts at creation.",
    Verb.RESTART: "Restart the container so that a pending change takes effect.",
    Verb.FORCE_STOP: "Cut the power when an orderly shutdown does not end in time.",
    Verb.REPLACE_BROKEN_STABLE: "Release a version although the live one is broken.",
    Verb.LOWER_DURABILITY: "Let Redis keep less of what is written: AOF off, no snapshots, fewer fsyncs.",
    Verb.EVICT: "Give Redis a memory limit below what is in use: keys are evicted, or writes refused.",
    Verb.REPLACE_DATA: "Make a Redis server that has keys a replica of another one: its own keys go.",
    Verb.DELETE_INDEX: "Delete an index of Elasticsearch with its documents.",
    Verb.DELETE_DEFINITION: "Delete an index template, a component template or a lifecycle policy.",
    Verb.ILM_DELETES_NOW: "Change a lifecycle policy so that indices are deleted at once that would be kept.",
    Verb.REPLICAS_ZERO: "Take away the last copy of an index of Elasticsearch.",
    Verb.SWAP_WRITE_INDEX: "Let what is written to an alias go into another index from now on.",
    Verb.CHANGE_OWNER: "Give a database to another role.",
    Verb.REBUILD: "Build a PostgreSQL standby anew that cannot stream any more.",
    Verb.DROP_SLOT: "Drop a replication slot that must be absent, once nobody reads it.",
    Verb.DROP_DATABASE: "Drop a database that must be absent, with all that is in it, once nobody uses it.",
    Verb.DELETE_QUEUE: "Delete a RabbitMQ queue that must be absent, once it is empty and unused.",
    Verb.DELETE_EXCHANGE: "Delete a RabbitMQ exchange that must be absent, once nothing is bound to it.",
    Verb.DELETE_USER: "Delete a RabbitMQ user that must be absent: its connections end.",
    Verb.UNBIND: "Delete a RabbitMQ binding that must be absent: such messages do not come there any more.",
    Verb.LOSSY_POLICY: "Change a RabbitMQ policy so that queues which hold messages may lose some.",
}


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Yield the models that *annotation* mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from models_in(part)


def nested(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Return *model* and every model below it, each once, parents first."""
    found = [model]
    for each in found:
        for info in each.model_fields.values():
            found += [child for child in models_in(info.annotation) if child not in found]
    return found


def cell(text: str) -> str:
    """Return *text* as it may stand in a cell of a table."""
    return text.replace("\n", " ").replace("|", "\\|")


def code(value: object) -> str:
    return cell(f"`{value}`")


def words(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Say in words what a value must be like."""
    if "$ref" in schema:
        return reference(schema["$ref"].rpartition("/")[2], definitions)
    options = schema.get("anyOf") or schema.get("oneOf")
    if options is not None:
        return " or ".join(words(each, definitions) for each in options if each.get("type") != "null")
    match schema.get("type"):
        case "array":
            return f"list of {several(words(schema.get('items', {}), definitions))}"
        case "object":
            named = schema.get("patternProperties", {}).values()
            value = next(iter(named), schema.get("additionalProperties", {}))
            return f"map of name to {several(words(value, definitions))}"
        case _:
            return scalar(schema)


def several(each: str) -> str:
    return f"values {each}" if each.startswith("such as") else each


def reference(name: str, definitions: Mapping[str, Any]) -> str:
    if name == Key.__name__:
        return "`Kind/name`"
    return scalar(definitions[name]) if "enum" in definitions[name] else f"[{name}](#{name.lower()})"


def scalar(schema: Mapping[str, Any]) -> str:
    choices = schema.get("enum") or [schema["const"]] if "enum" in schema or "const" in schema else []
    if choices:
        return " or ".join(code(each) for each in choices)
    if "examples" in schema:
        return "such as " + ", ".join(code(each) for each in schema["examples"])
    if schema.get("format") == "date-time":
        return "instant such as `2026-11-24T18:00:00Z`"
    name = SCALARS.get(schema.get("type", ""), "text")
    if "minimum" in schema and "maximum" in schema:
        return f"{name}, {schema['minimum']} to {schema['maximum']}"
    if "exclusiveMinimum" in schema:
        return f"{name} above {schema['exclusiveMinimum']}"
    return f"{name} ({cell(MEANINGS[schema['pattern']])})" if "pattern" in schema else name


def plain(value: object) -> str:
    """Write a default as a file would."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        return yaml.safe_dump(value, default_flow_style=True, width=1000).strip()
    return str(value)


def default(model: type[BaseModel], name: str) -> str:
    info = model.model_fields[name]
    if info.is_required():
        return "**required**"
    value = info.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined or value == "":
        return ""
    alone = model.model_construct(**{name: value})
    return code(plain(alone.model_dump(mode="json", by_alias=True, exclude_none=True)[info.alias or name]))


def table(model: type[BaseModel], *, leave_out: type[BaseModel] | None = None) -> str:
    """Return the fields of *model* as a table, without those of its parent *leave_out*."""
    rows = ["| field | what it must be | default | meaning |", "|---|---|---|---|"]
    for name, kind, meaning in fields(model):
        if leave_out is None or name not in leave_out.model_fields:
            alias = model.model_fields[name].alias or name
            rows.append(f"| `{alias}` | {kind} | {default(model, name)} | {meaning} |")
    return "\n".join(rows) + "\n"


def reported(model: type[BaseModel]) -> str:
    """Return the fields of *model*, which nobody writes but the program, as a table."""
    rows = ["| field | what it is | meaning |", "|---|---|---|"]
    rows += [
        f"| `{model.model_fields[name].alias or name}` | {kind} | {meaning} |"
        for name, kind, meaning in fields(model)
    ]
    return "\n".join(rows) + "\n"


def fields(model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """Yield each field's name, what its value must be like, and what it means."""
    schema = model.model_json_schema(by_alias=True)
    for name, info in model.model_fields.items():
        kind = words(schema["properties"][info.alias or name], schema.get("$defs", {}))
        yield name, kind, cell(info.description or "")


def sections(models: list[type[BaseModel]], of: Callable[[type[BaseModel]], str] = table) -> str:
    return "".join(f"\n### {each.__name__}\n\n{each.__doc__}\n\n{of(each)}" for each in models)


def quoted(path: str) -> str:
    return f"From [{path}](../../{path}):\n\n```yaml\n{(ROOT / path).read_text()}```"


def example(kind: str) -> str:
    if kind in EXAMPLES:
        return quoted(EXAMPLES[kind])
    metadata = {"name": SPLIT.service}
    whole = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": canonical(SPLIT)}
    return f"As `psactl get` shows it:\n\n```yaml\n{yaml.safe_dump(whole, sort_keys=False)}```"


def page(*paragraphs: str) -> str:
    """Join paragraphs, sections and tables to a page."""
    return HEAD + "\n\n".join(each.strip("\n") for each in paragraphs if each) + "\n"


def listing(rows: Iterable[tuple[str, ...]], *head: str) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(each) + " |" for each in lines)


def kind_page(kind: str, spec: type[Spec]) -> str:
    status = STATUSES[kind]
    return page(
        f"# {kind}",
        spec.__doc__ or "",
        "" if kind in FILE_KINDS else "Files cannot declare it; only its owner does.",
        "## Example",
        example(kind),
        "## spec",
        "Beside the [fields that every spec has](common.md#spec):",
        table(spec, leave_out=Spec),
        sections(nested(spec)[1:]),
        "## status",
        status.__doc__ or "",
        reported(status),
        sections([each for each in nested(status)[1:] if each not in nested(spec)], reported),
    )


def common_page() -> str:
    return page(
        "# What every object has",
        f"`apiVersion` is always `{API_VERSION}`.\n"
        "`kind` and `metadata.name` are the identity, never the file's path.",
        "## metadata",
        table(Metadata),
        "## spec",
        "A field that is left out is not managed, and never reset to a default.",
        table(Spec),
        "## Destructive verbs",
        "The list is closed. Each needs its own entry in `allow`; there is no global force.",
        listing(((code(verb.value), VERBS[verb]) for verb in Verb), "verb", "what it permits"),
    )


def conditions_page() -> str:
    rows = ((code(each.value), *CONDITIONS[each]) for each in ConditionType)
    return page(
        "# Conditions",
        "What can be said of any object. Each has a status (`True`, `False` or `Unknown`), a reason in one\n"
        "word, a message for people and the time of its last flip. `psactl describe` shows them.",
        listing(rows, "condition", "`True` means", "`False` means"),
    )


def settings_page() -> str:
    return page(
        "# Settings",
        "`/etc/psa-reconciler/config.yaml`, owned by root. Unknown fields are errors.\n"
        "The strictest of this `mode`, an object's own and the operators' (`psactl mode`) counts.\n"
        "SIGHUP takes `mode` and `log` from the file again, or keeps the old ones and says why.\n"
        "The rest needs a restart, which is nothing special: work under way goes on after it.",
        quoted("examples/config.yaml"),
        "## Fields",
        table(Settings),
        sections(nested(Settings)[1:]),
    )


def slug(kind: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "-", kind).lower()


def pages() -> dict[str, str]:
    """Return the text of every page by its file name."""
    found = {"common.md": common_page(), "conditions.md": conditions_page(), "settings.md": settings_page()}
    for kind, spec in KINDS.items():
        found[f"{slug(kind)}.md"] = kind_page(kind, spec)
    found["README.md"] = page(
        "# Reference",
        "Kinds:",
        "\n".join(f"- [{kind}]({slug(kind)}.md): {spec.__doc__}" for kind, spec in KINDS.items()),
        "For all kinds: [common fields](common.md), [conditions](conditions.md).\n"
        "For the daemon: [settings](settings.md). For releases: [phases](release-phases.md). "
        "For Prometheus: [metrics](metrics.md).",
    )
    return found


def stale() -> list[str]:
    """Return the names of the pages that differ from the models, or that no model stands for."""
    wanted = pages()
    there = {each.name: each.read_text() for each in TARGET.glob("*.md") if each.name not in OTHERS}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main() -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if a page is not up to date"
    )
    if parser.parse_args().check:
        for name in stale():
            print(f"docs/reference/{name} is not what the models say: run make docs")
        return 1 if stale() else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in stale():
        page = pages().get(name)
        if page is None:
            (TARGET / name).unlink()
        else:
            (TARGET / name).write_text(page)
        print(f"docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
