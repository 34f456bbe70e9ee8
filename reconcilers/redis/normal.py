"""Settings of Redis in its own normal forms, so that what is the same is no difference: pure.

The forms are those of Redis 7.0's config.c; ``tests/contract`` compares them with a real server.
"""

import re
from typing import Final

from crds.redis import ALIASES

#: Settings that only the server's file can change, with a restart (IMMUTABLE_CONFIG in Redis 7.0).
IMMUTABLE: Final = frozenset(
    {
        "aclfile",
        "always-show-logo",
        "aof_rewrite_cpulist",
        "appenddirname",
        "appendfilename",
        "bgsave_cpulist",
        "bio_cpulist",
        "cluster-config-file",
        "cluster-enabled",
        "cluster-port",
        "daemonize",
        "databases",
        "disable-thp",
        "enable-debug-command",
        "enable-module-command",
        "enable-protected-configs",
        "io-threads",
        "io-threads-do-reads",
        "logfile",
        "pidfile",
        "rdbchecksum",
        "server_cpulist",
        "set-proc-title",
        "socket-mark-id",
        "supervised",
        "syslog-enabled",
        "syslog-facility",
        "syslog-ident",
        "tcp-backlog",
        "unixsocket",
        "unixsocketperm",
    }
)
#: Values in which large and small letters differ: names, paths and masks of processors.
_AS_WRITTEN: Final = re.compile(
    r".*(announce|cpulist|dir|file|ident|template|unixsocket$|warnings|addr).*|appendfilename|masteruser"
)
_UNITS: Final = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1024,
    "m": 1000**2,
    "mb": 1024**2,
    "g": 1000**3,
    "gb": 1024**3,
}
_AMOUNT: Final = re.compile(r"(\d{1,20})(b|k|kb|m|mb|g|gb)?")
#: What ``A`` stands for among the letters of notify-keyspace-events.
_ALL_EVENTS: Final = "g$lshzxetd"
_LIMIT_FIELDS: Final = 4
#: What Redis makes of a number that is out of bounds: the nearest one, without a word.
_BOUNDS: Final = {"hz": (1, 500), "repl-backlog-size": (16 * 1024, 2**63 - 1)}


def canonical(name: str) -> str:
    """Return the name that Redis 7 itself uses; it keeps an old and a new name as one setting."""
    return ALIASES.get(name, name)


def amount(text: str) -> int | None:
    """Return a memory size in bytes (``1gb`` is 1073741824, ``1g`` 1000000000), None for what is none."""
    match = _AMOUNT.fullmatch(text.strip().lower())
    return None if match is None else int(match[1]) * _UNITS[match[2] or ""]


def is_same(name: str, wanted: str, found: str) -> bool:
    """Whether Redis would take both values of a setting for the same."""
    if canonical(name) == "client-output-buffer-limit":
        have = _limits(found)
        # A class that is not named stays as it is.
        return all(have.get(each) == limit for each, limit in _limits(wanted).items())
    return normal(name, wanted) == normal(name, found)


def normal(name: str, value: str) -> str:
    """Return one form for all spellings of a setting's value."""
    words = value.split()
    match canonical(name):
        case "save":
            words = [_word(each) for each in words]
            pairs = sorted(zip(words[::2], words[1::2], strict=False))
            return value if len(words) % 2 else " ".join(f"{after} {changes}" for after, changes in pairs)
        case "notify-keyspace-events":
            return "".join(sorted(set(value.replace("A", _ALL_EVENTS))))
        case "shutdown-on-sigterm" | "shutdown-on-sigint":
            return " ".join(sorted(each.lower() for each in words))
        case "bind":
            return " ".join(sorted(words))
        case _ if _AS_WRITTEN.fullmatch(name):
            return value
        case name:
            return _as_meant(name, " ".join(_word(each) for each in words))


def _as_meant(name: str, text: str) -> str:
    """Return what Redis makes of a word that has another name, or of a number out of bounds."""
    if name in _BOUNDS and text.isdecimal():
        least, most = _BOUNDS[name]
        return str(min(max(int(text), least), most))
    return "yes" if (name, text) == ("oom-score-adj", "relative") else text


def _word(text: str) -> str:
    size = amount(text)
    if size is not None:
        return str(size)
    if re.fullmatch(r"\d+\.\d+", text):
        return f"{float(text):g}"
    return text.lower()


def _limits(value: str) -> dict[str, tuple[str, ...]]:
    """Return the limits of each class of clients: hard, soft, seconds."""
    words = value.lower().split()
    rows = [words[at : at + _LIMIT_FIELDS] for at in range(0, len(words), _LIMIT_FIELDS)]
    return {
        "replica" if row[0] == "slave" else row[0]: tuple(_word(each) for each in row[1:]) for row in rows
    }
