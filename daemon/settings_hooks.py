"""Hooks in the settings: programs that releases may run by their names."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, field_validator

from crds.meta import Model
from crds.quantity import Duration
from reconcilers.hook_runs import FACTS, Hook


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("an absolute path is needed")
    return path


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL cannot be passed on")
    return text


def _not_ours(name: str) -> str:
    if name.startswith("PSA_"):
        raise ValueError("names that begin with PSA_ are the daemon's own")
    return name


def _fact_or_plain(argument: str) -> str:
    name = argument.removeprefix("{").removesuffix("}")
    if argument == f"{{{name}}}" and re.fullmatch(r"[a-z]+", name) and name not in FACTS:
        raise ValueError(f"there is no fact {argument}: {', '.join(f'{{{each}}}' for each in FACTS)}")
    inside = next((each for each in FACTS if f"{{{each}}}" in argument), None)
    if inside is not None and argument != f"{{{inside}}}":
        raise ValueError(f"{{{inside}}} stands for a whole argument, never for a part of one")
    return argument


def _more_than_nothing(duration: timedelta) -> timedelta:
    if not duration:
        raise ValueError("nothing is done in no time")
    return duration


PassedText = Annotated[str, AfterValidator(_without_nul)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
VariableName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"), AfterValidator(_not_ours)
]


class HookSettings(Model):
    """A program that releases may run by its name: tests, audits, notifications."""

    argv: Annotated[
        tuple[Annotated[PassedText, AfterValidator(_fact_or_plain)], ...], Field(min_length=1, max_length=64)
    ]
    """Program by its absolute path, and its arguments; no shell reads them. {version} is replaced."""
    timeout: Annotated[Duration, AfterValidator(_more_than_nothing)] = timedelta(minutes=10)
    """How long it may take before it is ended."""
    directory: AbsolutePath = Path("/")
    """Where it runs."""
    environment: dict[VariableName, PassedText] = Field(default_factory=dict)
    """Variables beside PATH, HOME, LANG, TMPDIR and the facts PSA_*; nothing else is passed on."""
    idempotent: bool = False
    """Whether it may simply be run again when the daemon ended in the middle; otherwise a person decides."""

    @field_validator("argv")
    @classmethod
    def _names_a_file(cls, argv: tuple[str, ...]) -> tuple[str, ...]:
        if not Path(argv[0]).is_absolute():
            raise ValueError(f'"{argv[0]}" is no absolute path: the first entry is the file of the program')
        return argv

    def hook(self, name: str) -> Hook:
        """Return what the runner of hooks needs."""
        return Hook(
            name,
            self.argv,
            timeout=self.timeout,
            directory=str(self.directory),
            environment=self.environment,
            is_idempotent=self.idempotent,
        )
