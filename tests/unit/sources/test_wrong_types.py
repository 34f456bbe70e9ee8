"""Whatever stands in whichever field of a file: an object or a sentence, never an exception."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml
from pydantic import ValidationError

from crds.kinds import FILE_KINDS
from crds.meta import Model
from daemon.sources.assembly import assemble
from daemon.sources.objects import FileContent, read_objects
from daemon.sources.parser import InlineParser
from daemon.sources.reading import Reading
from daemon.sources.tree import Parsed
from tests.builders_source import MemoryFiles, container_yaml, content_of

EXAMPLES: Final = Path("examples")
WRONG: Final[tuple[object, ...]] = (
    None, True, 0, -1, 1.5, 10**30, "", "x", "0", "4Gi", "../..", "\x00", "é" * 300,
    [], {}, [None], [[]], [{}], {"": []}, {"x": {"y": []}},
)  # fmt: skip


def models() -> Iterator[type[Model]]:
    """Return each model of what people write, the ones within others too."""
    assert FILE_KINDS
    waiting = [Model]
    while waiting:
        waiting += (found := waiting.pop()).__subclasses__()
        if found.__module__.startswith("crds."):
            yield found


@pytest.mark.parametrize("model", sorted(models(), key=str))
def test_a_field_takes_a_value_or_says_why_not(model: type[Model]) -> None:
    for name, field in model.model_fields.items():
        for wrong in WRONG:
            text = json.dumps({field.alias or name: wrong})
            with contextlib.suppress(ValidationError):
                assert isinstance(model.model_validate_json(text, strict=True, by_alias=True), model)


@pytest.mark.parametrize("wrong", [None, 0, "x", [], {"": []}], ids=repr)
def test_any_value_in_any_field_of_an_example_is_an_object_or_a_problem(wrong: object) -> None:
    for document in one_of_each_kind():
        for text in damaged(document, wrong):
            found = assemble([content_of(text)], "")
            assert found.objects or found.problems or text == "null"


def one_of_each_kind() -> list[object]:
    """Return an example of each kind."""
    files = sorted(EXAMPLES.rglob("*.yaml"))
    found = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    kinds = {document["kind"]: document for document in found if document and "kind" in document}
    assert kinds.keys() == FILE_KINDS.keys()
    return list(kinds.values())


def damaged(document: object, wrong: object) -> Iterator[str]:
    """Return the document with each of its values replaced in turn, as text that YAML reads, too."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield from (json.dumps({**document, name: json.loads(each)}) for each in damaged(value, wrong))
    elif isinstance(document, list):
        for at, value in enumerate(document):
            rest = document[:at], document[at + 1 :]
            yield from (json.dumps([*rest[0], json.loads(each), *rest[1]]) for each in damaged(value, wrong))
    yield json.dumps(wrong)


@pytest.mark.parametrize("memory", ["[4Gi]", "{amount: 4Gi}", "true", "[]"])
def test_an_amount_that_is_no_text_is_refused_with_its_place(memory: str) -> None:
    (problem,) = content_of(container_yaml(memory=memory)).problems
    assert (problem.line, problem.message.split(":")[0]) == (9, "spec.memory")
    assert "Mi, Gi or Ti" in problem.rendered


async def test_a_bug_that_one_file_meets_is_told_and_leaves_the_other_files_alone() -> None:
    def understand(file: str, data: bytes, parsed: Parsed) -> FileContent:
        if file == "odd.yaml":
            raise TypeError("unhashable type: 'list'")
        return read_objects(file, data, parsed)

    files = MemoryFiles({"a.yaml": container_yaml(), "odd.yaml": container_yaml("psa-crm", 101)})
    snapshot = await Reading(InlineParser(), understand=understand).read(await files.scan({}))
    assert [str(declared.key) for declared in snapshot.objects] == ["Container/psa-redis"]
    assert snapshot.broken_files == {"odd.yaml"}
    (problem,) = snapshot.problems
    assert problem.rendered.startswith("odd.yaml: error: a bug of psa-reconciler keeps it from being read: ")
    assert "TypeError: unhashable type: 'list'" in problem.rendered
