"""What a dashboard is made of."""

from dataclasses import dataclass
from typing import Literal

Shape = Literal["timeseries", "stat", "table", "state-timeline"]


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL query. ``legend`` is Grafana's ({{label}}); ``is_quiet``: finding nothing may be well.

    ``is_limit``: a limit for the others, drawn dashed.
    """

    expr: str
    legend: str = ""
    is_quiet: bool = False
    is_limit: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel; ``unit`` is Grafana's, ``width`` of 24 columns, ``says`` what a reader should make of it."""

    title: str
    says: str
    queries: tuple[Query, ...]
    unit: str = "short"
    shape: Shape = "timeseries"
    width: int = 12


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard. ``variable`` is a label whose values can be chosen, with the query that lists them."""

    uid: str
    title: str
    says: str
    panels: tuple[Panel, ...]
    variable: tuple[str, str] | None = None
