"""A file of nothing but mistakes holds the loop for a moment only, and every object of it is refused."""

import time
from collections.abc import Mapping
from typing import Final

import pytest

from daemon.sources.assembly import assemble
from daemon.sources.nodes import LARGEST_FILE
from tests.builders_source import container_yaml, content_of

_WRONG_FIELDS: Final = ", ".join(f"wr{number}: 1" for number in range(60))


def _documents(one: str) -> str:
    """Return as many documents as fit in a file; ``%d`` is the number of each."""
    text = ""
    number = 0
    while len(text) + len(one) + 10 < LARGEST_FILE:
        text += f"---\n{one.replace('%d', str(number))}"
        number += 1
    return text


_HEAD: Final = "apiVersion: psa.platform/v1\nkind: Container\nmetadata: {name: psa-%d}\n"
_FILES: Final[Mapping[str, str]] = {
    "wrong fields": _documents(f"{_HEAD}spec: {{{_WRONG_FIELDS}}}\n"),
    "one line": "{" + "a," * (LARGEST_FILE // 2 - 10) + "}",
    "wrong documents": _documents("a\n"),
    "missing fields": _documents(f"{_HEAD}spec: {{}}\n"),
}


@pytest.mark.parametrize("text", _FILES.values(), ids=_FILES.keys())
def test_the_largest_file_of_mistakes_is_put_into_words_quickly(text: str) -> None:
    content_of("")  # what is loaded with the first file is no part of it
    began = time.process_time()
    content = content_of(text)

    assert len(content.problems) == 50
    assert content.problems[-1].message.endswith("more errors in this file")
    assert time.process_time() - began < 2.5, (
        "with the parser; 6.8 s and 15 000 searches for words were usual"
    )


def test_an_object_is_refused_although_its_mistakes_are_not_worded_any_more() -> None:
    wrong = "".join(
        f"---\n{container_yaml(f'psa-{number}', number)}  cors: 2\n" for number in range(101, 801)
    )
    content = content_of(wrong + f"---\n{container_yaml('psa-good', 900)}")
    found = assemble([content], "")

    assert [declared.key.name for declared in found.objects] == ["psa-good"]
    assert len(found.refused) == 700
    assert content.problems[-1].message.endswith("and 650 more errors in this file")
