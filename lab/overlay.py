"""What a lab has less of than the example's platform: single values of files, replaced where they stand."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import yaml

from lab.layout import LabError

FILE: Final = Path(__file__).with_name("overlay.yaml")
#: Kind/name, path below spec, value.
Overlay = Mapping[str, Mapping[tuple[str, ...], object]]


def read_overlay(file: Path = FILE) -> Overlay:
    """Return the values to replace."""
    found = yaml.safe_load(file.read_text()) or {}
    return {key: dict(_leaves(value)) for key, value in found.items()}


def lay_over(text: str, overlay: Overlay) -> str:
    """Return a file of the example with its values replaced; comments and everything else stay as they are.

    Raises LabError where a value that shall be replaced is not there.
    """
    changes: list[tuple[int, int, str]] = []
    for document in yaml.compose_all(text, yaml.SafeLoader):
        key = f"{_text(_at(document, ('kind',)))}/{_text(_at(document, ('metadata', 'name')))}"
        for path, value in overlay.get(key, {}).items():
            node = _at(document, ("spec", *path))
            if not isinstance(node, yaml.ScalarNode):
                raise LabError(f"{FILE.name}: {key} has no value at {'.'.join(path)}")
            changes.append((node.start_mark.index, node.end_mark.index, json.dumps(value)))
    for start, end, new in sorted(changes, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _leaves(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, str(name)))
    else:
        yield path, value


def _at(node: yaml.Node | None, path: tuple[str, ...]) -> yaml.Node | None:
    for name in path:
        if isinstance(node, yaml.SequenceNode):
            node = node.value[int(name)]
        elif isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == name), None)
        else:
            return None
    return node


def _text(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""
