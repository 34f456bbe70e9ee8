"""-o json and -o yaml: the daemon's own words, whole."""

import importlib
import json
from typing import Any, Final

import click

FORMATS: Final = ("json", "yaml", "wide")


def document(value: Any, form: str) -> str:
    """Return *value* as JSON or YAML text, without a last line break."""
    if form == "json":
        return json.dumps(value, indent=2, ensure_ascii=False)
    yaml = importlib.import_module("yaml")  # only who asks for YAML pays for it
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    return text.rstrip("\n")


#: ``-o json|yaml|wide``.
output_option: Final = click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(FORMATS),
    help="json and yaml are whole, wide has more columns, and cuts none.",
)
#: ``-o json|yaml``, where there is no table to widen.
data_option: Final = click.option(
    "-o", "--output", "form", type=click.Choice(FORMATS[:2]), help="Print data."
)
