"""What is said of a file, to whoever may ask, holds no secret that stands in it by mistake."""

import pytest

from daemon.logs import HIDDEN, blotted, hide
from daemon.sources.directory import FoundFile, Scan
from daemon.sources.parser import InlineParser
from daemon.sources.reading import Reading

PASSWORD = "correct-horse-battery"
TOKEN = "psa@pve!daemon=11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    "text",
    [f"{PASSWORD}\n", f"{TOKEN}\n", f"kind: {PASSWORD}\n", f"spec: {{a: 1}} # {PASSWORD}\nx: {TOKEN}\n"],
)
async def test_a_secret_that_lies_in_the_directory_is_not_shown(text: str) -> None:
    hide(PASSWORD)
    reading = Reading(InlineParser(), hide=blotted)
    found = await reading.read(Scan(files=(FoundFile("web.yaml", "1", text.encode()),)))
    said = "\n".join(f"{each.message} {each.rendered} {each.sentence}" for each in found.problems)

    assert PASSWORD not in said
    assert "11111111" not in said
    assert HIDDEN in said
