"""Log lines: JSON for the journal, readable ones on a terminal, secrets in neither."""

import logging
import re
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, WrappedLogger

_SECRET_KEYS: Final = re.compile(r"(?i)(password|secret|token|authorization|credential)")
_SECRET_VALUES: Final = re.compile(r"(PVEAPIToken=\S+?=)[0-9a-fA-F-]{36}|(![^\s=!@]+=)[0-9a-fA-F-]{36}")
_QUIET: Final = ("proxmoxer", "urllib3", "requests", "aiohttp", "asyncio", "watchfiles")


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blot out what looks like a secret, by its key or by its shape."""
    for key, value in event.items():
        if _SECRET_KEYS.search(key):
            event[key] = "(hidden)"
        elif isinstance(value, str):
            event[key] = _SECRET_VALUES.sub(lambda found: f"{found[1] or found[2]}(hidden)", value)
    return event


def set_up_logs(level: str) -> None:
    """Write lines of at least *level* to standard error."""
    console = sys.stderr.isatty()
    chain: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        redact,
    ]
    ending = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*chain, ending],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)  # noqa: TID251 - quietens the libraries' own loggers
