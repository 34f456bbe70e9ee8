"""Log lines: JSON for the journal, readable ones on a terminal, secrets in neither."""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN: Final = "(hidden)"
_SECRET_KEYS: Final = re.compile(r"(?i)(password|secret|token|authorization|credential)")
#: The value of a Proxmox API token, or its beginning, behind ``user@realm!id=``.
_SECRET_VALUES: Final = re.compile(r"(![^\s=!@]+=)[0-9a-fA-F-]{6,36}")
#: A shorter text would blot out half of every line.
_SHORTEST: Final = 8
#: Libraries that tell more than anybody wants to read; proxmoxer logs whole answers.
_QUIET: Final = ("proxmoxer", "urllib3", "requests", "aiohttp", "asyncio", "watchfiles")

_hidden: set[str] = set()


def hide(secret: str) -> None:
    """Blot out *secret* wherever it appears in a log line from now on."""
    if len(secret) >= _SHORTEST:
        _hidden.add(secret)


def blotted(text: str) -> str:
    """Return *text* without what is known to be a secret, or looks like one."""
    for secret in _hidden:
        text = text.replace(secret, HIDDEN)
    return _SECRET_VALUES.sub(rf"\1{HIDDEN}", text)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blot out what looks like a secret, by its key or by its shape, however deep it lies."""
    return {key: _blotted_field(key, value) for key, value in event.items()}


def _blotted_field(key: object, value: object) -> object:
    return HIDDEN if isinstance(key, str) and _SECRET_KEYS.search(key) else _blotted_value(value)


def _blotted_value(value: object) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {key: _blotted_field(key, inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_blotted_value(inner) for inner in value]
        case _:
            return blotted(str(value))


def set_up_logs(level: str, stream: TextIO | None = None) -> None:
    """Write lines of at least *level* to *stream* (None: standard error), those of libraries among them."""
    target = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    ]
    ending = _ending(is_terminal=target.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    _take_libraries(target, [_name_library, *shared], ending, number)


def _ending(*, is_terminal: bool) -> list[Processor]:
    """Return what makes an event a line. Tracebacks become text before ``redact``: none escapes it."""
    common: list[Processor] = [structlog.processors.format_exc_info, redact]
    if not is_terminal:
        return [*common, _in_order, structlog.processors.JSONRenderer(ensure_ascii=False)]
    plain = structlog.dev.plain_traceback  # the default one would print the locals of each frame
    return [*common, structlog.dev.ConsoleRenderer(timestamp_key="ts", exception_formatter=plain)]


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Begin each line alike."""
    return {**{name: event[name] for name in ("ts", "level", "event") if name in event}, **event}


def _name_library(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Give a library's message the form of an event."""
    record = event["_record"]
    return {**event, "event": "library.logged", "logger": record.name, "message": event["event"]}


def _take_libraries(target: TextIO, shared: list[Processor], ending: list[Processor], level: int) -> None:
    """Send what libraries log through the same processors; the talkative ones only from WARNING on."""
    chain = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending]
    formatter = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=chain)
    handler = logging.StreamHandler(target)
    handler.setFormatter(formatter)
    root = logging.getLogger()  # noqa: TID251 - where the libraries' own loggers end
    root.handlers = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))  # noqa: TID251 - a library's logger
