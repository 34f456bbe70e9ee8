"""From a hook and a run to what the kernel is given: arguments, environment, a program that is trusted."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from reconcilers.contract import NotSentError, PermanentError
from reconcilers.hook_runs import FACTS, Hook, HookRun

MARK: Final = "PSA_HOOK_RUN"
"""Variable whose value no other run has: by it are found whoever a run has begun."""

#: Says why a program must not be run, given its path and what an open descriptor says of it; None if it may.
Refuse: TypeAlias = Callable[[Path, os.stat_result], str | None]

#: Facts reach argument lists: an option, a path or a second word they can never be.
_FACT: Final = re.compile(r"[A-Za-z0-9:][A-Za-z0-9._:+-]{0,127}")
_RUN_ID: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,198}[a-z0-9])?")
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Command:
    """What to execute, and where."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str

    @property
    def program(self) -> Path:
        """The file that is run."""
        return Path(self.argv[0])


def is_run_id(text: str) -> bool:
    """Whether *text* can name a run, and a file."""
    return _RUN_ID.fullmatch(text) is not None and ".." not in text


def command_of(hook: Hook, run: HookRun, home: Path) -> Command:
    """Put the run's facts into arguments and environment; nothing else of ours is passed on.

    Raises PermanentError for a name or fact that is none.
    """
    if not is_run_id(run.run_id):
        raise PermanentError(f"{run.run_id!r} cannot be the name of a run", reason="HookRunInvalid")
    facts = run.facts()
    for name, value in facts.items():
        # An address of IPv6 is the only one with brackets, and those are ours.
        if name != "url" and not _FACT.fullmatch(value):
            raise PermanentError(f"hook {hook.name}: {name} cannot be {value!r}", reason="HookRunInvalid")
    told = {f"PSA_{name.upper()}": value for name, value in facts.items()}
    if run.notice:
        told["PSA_MESSAGE"] = "".join(each for each in run.notice if each.isprintable() or each == "\n")
    usual = {"PATH": _PATH, "HOME": str(home), "LANG": "C.UTF-8", "TMPDIR": "/tmp"}  # noqa: S108 - a hook's own
    argv = tuple(_filled(hook, argument, facts) for argument in hook.argv)
    return Command(argv, {**usual, **hook.environment, **told}, hook.directory)


def _filled(hook: Hook, argument: str, facts: Mapping[str, str]) -> str:
    name = argument[1:-1]
    if name not in FACTS or argument != f"{{{name}}}":
        return argument
    if name not in facts:
        text = f"hook {hook.name} wants {argument}, which only a run against one candidate has"
        raise PermanentError(text, reason="HookFactMissing")
    return facts[name]


def open_program(command: Command, refuse: Refuse) -> int:
    """Return a descriptor of the program, which from now on means that very file; the caller closes it.

    Raises PermanentError if it is not trusted (any more), NotSentError if it is not there.
    """
    try:
        descriptor = os.open(command.program, os.O_PATH | os.O_CLOEXEC)
    except OSError as exc:
        raise NotSentError(f"{command.program} was not started: {exc.strerror}") from exc
    refusal = refuse(command.program, os.fstat(descriptor))
    if refusal is None:
        return descriptor
    os.close(descriptor)
    raise PermanentError(refusal, reason="HookNotAllowed")


def executable_of(command: Command, descriptor: int) -> str:
    """Return the path to execute: the descriptor for a program, the path for a script.

    A script's interpreter opens it by its name once more, and most scripts look for their neighbours beside
    ``$0``. The directories on the way to it were checked, so nobody else can have put another one there.
    """
    # As seen from the child, our descriptors have our pid: it inherits none.
    opened = f"/proc/{os.getpid()}/fd/{descriptor}"
    return str(command.program) if _interpreter(descriptor) is not None else opened


def why_not_started(command: Command, descriptor: int, error: OSError) -> str:
    """Return what went wrong when *command* should have been executed."""
    what = f"{command.program} was not started: "
    if error.filename == command.directory:
        return f"{what}directory {command.directory}: {error.strerror}"
    interpreter = _interpreter(descriptor)
    if isinstance(error, FileNotFoundError) and interpreter is not None:
        return f"{what}its interpreter {interpreter} is not there"
    return f"{what}{error.strerror}"


def _interpreter(descriptor: int) -> str | None:
    """Return what stands behind ``#!`` in the first line; None where there is no such line, or no reading."""
    try:
        reader = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        head = os.read(reader, 256)
    finally:
        os.close(reader)
    if not head.startswith(b"#!"):
        return None
    words = head[2:].split(b"\n")[0].split()
    return words[0].decode("utf-8", "replace") if words else ""
