"""What a Prometheus answers to the dashboards' queries."""

import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from metrics.dashboard import Dashboard, Query

_TIMEOUT_S: Final = 10.0


class QueryError(Exception):
    """Prometheus does not answer, or does not understand the query; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line of an answer. ``points`` are seconds since 1970 and values, never NaN."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    def named(self, legend: str) -> str:
        """Return Grafana's *legend* with this series' labels in it."""
        return re.sub(r"\{\{(\w+)\}\}", lambda found: self.labels.get(found[1], ""), legend) or "value"


def filled(dashboard: Dashboard, query: Query) -> str:
    """Return a query with everything chosen that its dashboard lets people choose."""
    return query.expr if dashboard.variable is None else query.expr.replace(f"${dashboard.variable[0]}", ".+")


def over_time(url: str, expr: str, *, begin: float, end: float, step_s: float = 1.0) -> tuple[Series, ...]:
    """Ask for every *step_s* from *begin* to *end*, seconds since 1970. QueryError if there is no answer."""
    asked = {"query": expr, "start": f"{begin:.3f}", "end": f"{end:.3f}", "step": f"{step_s:g}"}
    return _series(_call(url, "query_range", asked), "values")


def at_once(url: str, expr: str, *, at: float) -> tuple[Series, ...]:
    """Ask for the values at one instant, seconds since 1970. QueryError if there is no answer."""
    return _series(_call(url, "query", {"query": expr, "time": f"{at:.3f}"}), "value")


def _series(answer: object, field: str) -> tuple[Series, ...]:
    if not isinstance(answer, list):
        raise QueryError(f"a list of series was expected, not {answer!r}")
    found = []
    for row in answer:
        pairs = row[field] if field == "values" else [row[field]]
        points = tuple((float(at), float(text)) for at, text in pairs)
        found.append(Series(row["metric"], tuple(pair for pair in points if math.isfinite(pair[1]))))
    return tuple(found)


def _call(url: str, verb: str, asked: Mapping[str, str]) -> object:
    address = f"{url.rstrip('/')}/api/v1/{verb}?{urllib.parse.urlencode(asked)}"
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the lab's own
            body = json.load(answer)
    except urllib.error.HTTPError as exc:
        raise QueryError(f"{asked['query']}: {exc.read().decode(errors='replace')}") from None
    except (OSError, ValueError) as exc:
        raise QueryError(f"{url}: {exc}") from exc
    return body["data"]["result"]
