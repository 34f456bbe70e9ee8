"""Which parameters each request may have: Elasticsearch refuses one that it does not know."""

import re
from typing import Final

from lab.es.answers import Asked, illegal

#: What any request may say about its answer.
_ALWAYS: Final = frozenset({"error_trace", "filter_path", "flat_settings", "format", "human", "pretty"})
_MASTER: Final = frozenset({"master_timeout"})
_CHANGE: Final = _MASTER | {"timeout"}
_INDICES: Final = frozenset(
    {"allow_no_indices", "expand_wildcards", "ignore_throttled", "ignore_unavailable"}
)
_TABLE: Final[tuple[tuple[str, str, frozenset[str]], ...]] = (
    ("GET", "/_cluster/health", _CHANGE | {"level", "local", "wait_for_status"}),
    ("GET", "/_cluster/settings", _CHANGE | {"include_defaults"}),
    ("PUT", "/_cluster/settings", _CHANGE),
    ("GET", "/_cat/allocation", _MASTER | {"bytes", "h", "help", "local", "s", "v"}),
    ("(GET|PUT|DELETE)", "/_ilm/policy/.*", _CHANGE),
    ("(GET|POST)", "/_ilm/(status|start|stop)", _CHANGE),
    ("GET", "/_(component|index)_template/.*", _MASTER | {"include_defaults", "local"}),
    # No time-out but the master's: a change of a template waits for nobody else.
    ("PUT", "/_(component|index)_template/.*", _MASTER | {"cause", "create"}),
    ("DELETE", "/_(component|index)_template/.*", _MASTER),
    ("POST", "/_aliases", _CHANGE),
    ("GET", "/_alias(/.*)?", _INDICES | {"local"}),
    ("GET", "/[^/]+/_ilm/explain", _MASTER | _INDICES | {"only_errors", "only_managed"}),
    ("GET", "/[^/]+/_settings(/.*)?", _MASTER | _INDICES | {"include_defaults", "local"}),
    ("PUT", "/[^/]+/_settings", _CHANGE | _INDICES | {"preserve_existing", "reopen"}),
    ("PUT", "/[^/]+/_mapping", _CHANGE | _INDICES | {"write_index_only"}),
    ("POST", "/[^/]+/_doc", frozenset({"refresh", "routing", "timeout", "wait_for_active_shards"})),
    ("GET", "/[^/_][^/]*", _MASTER | _INDICES | {"features", "include_defaults", "local"}),
    ("PUT", "/[^/_][^/]*", _CHANGE | {"wait_for_active_shards"}),
    ("DELETE", "/[^/_][^/]*", _CHANGE | _INDICES),
)


def check(asked: Asked) -> None:
    """Raise 400 for a parameter that the request cannot have."""
    for method, path, names in _TABLE:
        if re.fullmatch(method, asked.method) and re.fullmatch(path, asked.path):
            unknown = sorted({*asked.query} - names - _ALWAYS)
            if unknown:
                raise illegal(f"request [{asked.path}] contains unrecognized parameter: [{unknown[0]}]")
            return
