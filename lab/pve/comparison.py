"""Whether two answers are equal but for what no two runs share: times, digests, invented addresses."""

import re
from collections.abc import Mapping
from typing import Final

from lab.pve.message import Json

# compared by type only: measured figures, secrets, identifiers that a run invents
BY_SHAPE: Final = frozenset({
    "digest", "pid", "pstart", "starttime", "endtime", "uptime", "cpu", "mem", "disk", "used", "avail",
    "free", "ticket", "CSRFPreventionToken", "ssl_fingerprint", "snaptime", "ctime", "loadavg", "kversion",
    "flags", "mhz", "cpuinfo", "current-kernel", "used_fraction", "wait", "idle", "total", "available",
})  # fmt: skip
UNORDERED: Final = frozenset({"content"})
ROW_KEYS: Final = ("key", "upid", "id", "vmid", "volid", "subdir", "storage", "name", "n", "node")
MASKS: Final = (
    (re.compile(r"hwaddr=BC:24:11(:[0-9A-F]{2}){3}"), "hwaddr=MAC"),
    (re.compile(r"UPID:([\w-]+):[0-9A-F]{8}:[0-9A-F]{8,9}:[0-9A-F]{8}:"), r"UPID:\1:PID:START:TIME:"),
    (re.compile(r"\.conf\.tmp\.\d+"), ".conf.tmp.N"),
    # no name server in the recording's network (proxmox.md 5.4)
    (re.compile("Temporary failure in name resolution"), "Name or service not known"),
    (re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"), "UUID"),
    (re.compile(r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$"), "MAC"),
    (re.compile(r"Filesystem UUID: \S+"), "Filesystem UUID: UUID"),
    (re.compile(r"\([\d.]+MiB, \d+MiB/s\)"), "(N)"),
    (re.compile(r"and \d+ inodes"), "and N inodes"),
)


def masked(text: str) -> str:
    for pattern, replacement in MASKS:
        text = pattern.sub(replacement, text)
    return text


def difference(ours: Json, theirs: Json, at: str = "") -> str:
    """Where and how two documents differ, "" if they are equal."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return _of_mappings(ours, theirs, at)
    if isinstance(ours, list) and isinstance(theirs, list):
        return _of_lists(ours, theirs, at)
    if isinstance(ours, str) and isinstance(theirs, str):
        same = _canonical(ours) == _canonical(theirs)
    else:
        same = ours == theirs and isinstance(ours, str) == isinstance(theirs, str)
    return "" if same else f"{at}: {ours!r} instead of {theirs!r}"


def _canonical(text: str) -> str:
    """Perl prints the lines of a format error in the order of its hash."""
    text = masked(text)
    if text.startswith("invalid format - format error\n"):
        return "\n".join(sorted(text.splitlines()))
    return text


def _of_mappings(ours: Mapping[str, Json], theirs: Mapping[str, Json], at: str) -> str:
    if set(ours) != set(theirs):
        more, less = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
        return f"{at or '/'}: has {', '.join(more) or 'nothing'} more and {', '.join(less) or 'nothing'} less"
    if ours.get("key") == theirs.get("key") == "digest":
        return ""  # a row of /pending
    for key, value in ours.items():
        if key in BY_SHAPE or _is_filesystem_size(key, ours):
            found = "" if _kind(value) == _kind(theirs[key]) else f"{at}/{key}: another type"
        elif key in UNORDERED and isinstance(value, str) and isinstance(theirs[key], str):
            found = difference(sorted(value.split(",")), sorted(str(theirs[key]).split(",")), f"{at}/{key}")
        else:
            found = difference(value, theirs[key], f"{at}/{key}")
        if found:
            return found
    return ""


def _is_filesystem_size(key: str, row: Mapping[str, Json]) -> bool:
    """Tell the size of a file system (of what runs, of storages) from that of a disk."""
    return key == "maxdisk" and (row.get("status") == "running" or "plugintype" in row)


def _kind(value: Json) -> str:
    return "number" if isinstance(value, int | float) else type(value).__name__


def _of_lists(ours: list[Json], theirs: list[Json], at: str) -> str:
    if len(ours) != len(theirs):
        lacking = [name for row in theirs if (name := _row_name(row)) not in [_row_name(o) for o in ours]]
        extra = [name for row in ours if (name := _row_name(row)) not in [_row_name(t) for t in theirs]]
        return f"{at}: {len(ours)} rows instead of {len(theirs)}, lacking {lacking}, extra {extra}"
    for mine, his in zip(sorted(ours, key=_row_name), sorted(theirs, key=_row_name), strict=True):
        found = difference(mine, his, f"{at}[{_row_name(his)}]")
        if found:
            return found
    return ""


def _row_name(row: Json) -> str:
    if isinstance(row, Mapping):
        return next((f"{key}={masked(str(row[key]))}" for key in ROW_KEYS if key in row), "")
    return str(row)
