"""Every psactl command that a document or a sentence of the program names exists, with its options."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from daemon.cli.main import psactl
from lab.commands import cli as lab
from tests.docs.markdown import ROOT, documents

#: A command as it stands in text: up to the end of its line, of the code, or of the sentence.
NAMED = re.compile(r"(?<![\w/.-])psactl((?: +(?:--?)?[a-zA-Z][\w/=.-]*)+)")
ROOTS = ("crds", "daemon", "lab", "metrics", "reconcilers")


def code_of(path: Path) -> Iterator[str]:
    """Yield the code of a document: its blocks' lines, and what stands in backticks."""
    text = path.read_text()
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    yield from (line for block in blocks for line in block.splitlines())
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def wrong(said: str) -> str | None:
    """Return what psactl does not know of the words behind it, None if it knows them."""
    command: click.Command = psactl
    context = click.Context(psactl)
    for word in said.split():
        if word.startswith("-"):
            options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
            if word.partition("=")[0] not in options | {"--help", "-h"}:
                return word
        elif isinstance(command, click.Group):
            found = lab if word in {"lab", "demo"} else command.get_command(context, word)
            if found is None:
                return word
            command = found if word != "demo" else lab.commands["demo"]
    return None


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_command_in_a_document_exists(path: Path) -> None:
    said = [each for code in code_of(path) for each in NAMED.findall(code)]
    assert [f"psactl{each}" for each in said if wrong(each)] == []


def test_a_command_in_a_sentence_of_the_program_exists() -> None:
    files = [path for root in ROOTS for path in (ROOT / root).rglob("*.py")]
    said = {each for path in files for each in re.findall(r"`psactl ([a-z]+)", path.read_text())}
    assert {"release", "get"} & said
    assert said <= {*psactl.list_commands(click.Context(psactl))}


def test_what_does_not_exist_is_found() -> None:
    assert (wrong(" logs"), wrong(" release undo"), wrong(" get --all")) == ("logs", "undo", "--all")
    assert (wrong(" get -o wide"), wrong(" release wait psa-suite --for completed")) == (None, None)
    assert (wrong(" lab fault postgres well"), wrong(" demo --keep")) == (None, None)
