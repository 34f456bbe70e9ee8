"""How Redis's answers are read: pure. What cannot be read is a TransientError that names it."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from reconcilers.contract import PermanentError, TransientError
from reconcilers.redis.model import Account, Cluster, Counts, Info, Memory, Persistence, Replica, Upstream

Answer = str | int | None | Sequence["Answer"]
ReadT = TypeVar("ReadT")

#: Settings that INFO tells, by the field that it has them in.
_TOLD: Final = {
    "maxmemory": "maxmemory",
    "maxmemory-policy": "maxmemory_policy",
    "hz": "configured_hz",
    "repl-backlog-size": "repl_backlog_size",
    "replica-priority": "slave_priority",
}
_TOLD_SWITCHES: Final = {
    "appendonly": "aof_enabled",
    "cluster-enabled": "cluster_enabled",
    "replica-read-only": "slave_read_only",
    "replica-announced": "replica_announced",
}


class _Fields:
    """The lines of an answer of the form ``name:value``."""

    def __init__(self, what: str, text: str) -> None:
        self._what = what
        rows = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
        self.values: Mapping[str, str] = {name: value.strip() for name, found, value in rows if found}

    def text(self, name: str) -> str:
        if name not in self.values:
            raise TransientError(f"{self._what}: the answer has no {name}")
        return self.values[name]

    def number(self, name: str) -> int:
        text = self.text(name)
        if not re.fullmatch(r"-?\d{1,20}", text):
            raise TransientError(f"{self._what}: {name} is {text!r}, which is no number")
        return int(text)

    def is_on(self, name: str) -> bool:
        return self.number(name) != 0


def read_info(text: str) -> Info:
    """Read INFO's default sections. PermanentError WrongServer for those of a Sentinel."""
    fields = _Fields("INFO", text)
    # Valkey calls it so from its version 8 on, unless extended-redis-compatibility is on.
    mode = fields.text("server_mode" if "server_mode" in fields.values else "redis_mode")
    if mode == "sentinel":
        raise PermanentError("a Sentinel answers there, not a Redis server", reason="WrongServer")
    rdb, aof = fields.text("rdb_last_bgsave_status"), fields.text("aof_last_bgrewrite_status")
    return Info(
        version=fields.text("redis_version"),
        run_id=fields.text("run_id"),
        mode=mode,
        is_loading=fields.is_on("loading"),
        has_config_file=fields.text("config_file") != "",
        memory=Memory(
            fields.number("used_memory"), fields.number("maxmemory"), fields.text("maxmemory_policy")
        ),
        persistence=Persistence(
            has_aof=fields.is_on("aof_enabled"),
            is_aof_well=aof == "ok" and fields.text("aof_last_write_status") == "ok",
            is_rdb_well=rdb == "ok",
            saved_at=fields.number("rdb_last_save_time"),
            changes=fields.number("rdb_changes_since_last_save"),
        ),
        counts=Counts(
            clients=fields.number("connected_clients"),
            commands=fields.number("total_commands_processed"),
            evicted_keys=fields.number("evicted_keys"),
            rejected_connections=fields.number("rejected_connections"),
        ),
        upstream=_upstream(fields),
        replicas=tuple(_replicas(fields.values)),
        offset_bytes=fields.number("master_repl_offset"),
        keys=sum(_keys(fields.values)),
        settings=dict(_settings(fields.values)),
    )


def _upstream(fields: _Fields) -> Upstream | None:
    if fields.text("role") == "master":
        return None
    quiet_s = fields.number("master_last_io_seconds_ago")
    return Upstream(
        address=f"{fields.text('master_host')}:{fields.number('master_port')}",
        is_linked=fields.text("master_link_status") == "up",
        is_syncing=fields.is_on("master_sync_in_progress"),
        quiet_s=None if quiet_s < 0 else quiet_s,
    )


def _replicas(values: Mapping[str, str]) -> Iterator[Replica]:
    for name in sorted(values):
        if re.fullmatch(r"slave\d+", name):
            row = dict(part.partition("=")[::2] for part in values[name].split(","))
            try:
                # The replica says it, and it becomes a label: bytes that are no text would end all metrics.
                address = f"{row['ip']}:{row['port']}".encode("ascii", "backslashreplace").decode()
                yield Replica(address, row["state"] == "online", int(row["offset"]), int(row["lag"]))
            except (KeyError, ValueError) as exc:
                raise TransientError(f"INFO: {name} is {values[name]!r}") from exc


def _keys(values: Mapping[str, str]) -> Iterator[int]:
    for name, value in values.items():
        match = re.match(r"keys=(\d+),", value) if re.fullmatch(r"db\d+", name) else None
        if match is not None:
            yield int(match[1])


def _settings(values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, field in _TOLD.items():
        if field in values:
            yield name, values[field]
    for name, field in _TOLD_SWITCHES.items():
        if field in values:
            yield name, "yes" if values[field] == "1" else "no"


def read_cluster(text: str) -> Cluster:
    """Read CLUSTER INFO."""
    fields = _Fields("CLUSTER INFO", text)
    failing = fields.number("cluster_slots_fail") + fields.number("cluster_slots_pfail")
    return Cluster(fields.text("cluster_state"), fields.number("cluster_known_nodes"), failing)


def read_pairs(what: str, answer: Answer) -> Mapping[str, Answer]:
    """Read names and values that alternate."""
    rows = read_list(what, answer)
    if len(rows) % 2:
        raise TransientError(f"{what}: {len(rows)} words are no pairs")
    return {read_text(what, name): value for name, value in zip(rows[::2], rows[1::2], strict=True)}


def read_text(what: str, answer: Answer) -> str:
    if not isinstance(answer, str):
        raise TransientError(f"{what}: text was expected, not {type(answer).__name__}")
    return answer


def read_list(what: str, answer: Answer) -> Sequence[Answer]:
    if not isinstance(answer, list | tuple):
        raise TransientError(f"{what}: a list was expected, not {type(answer).__name__}")
    return answer


def read_words(what: str, answer: Answer) -> tuple[str, ...]:
    return tuple(read_text(what, each) for each in read_list(what, answer))


def read_account(answer: Answer) -> Account | None:
    """Read ACL GETUSER; None if there is no such user."""
    if answer is None:
        return None
    what = "ACL GETUSER"
    fields = read_pairs(what, answer)

    def take(name: str, read: Callable[[str, Answer], ReadT]) -> ReadT:
        if name not in fields:
            raise TransientError(f"{what}: the answer has no {name}")
        return read(what, fields[name])

    flags = take("flags", read_words)
    return Account(
        is_enabled="on" in flags,
        needs_no_password="nopass" in flags,
        skips_checks="skip-sanitize-payload" in flags,
        hashes=frozenset(take("passwords", read_words)),
        commands=take("commands", read_text),
        keys=tuple(take("keys", read_text).split()),
        channels=tuple(take("channels", read_text).split()),
        has_selectors=bool(take("selectors", read_list)),
    )
