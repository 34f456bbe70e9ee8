"""Elasticsearch: one cluster, its templates, lifecycle policies, indices, aliases and settings."""

import enum
import math
from typing import Annotated, Final

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, WithJsonSchema, model_validator

from crds.meta import Claim, EndpointName, Model, Selection, Spec
from crds.versions import VersionFloor

_DEEPEST: Final = 20
_LONGEST: Final = 8192
_LARGEST_NUMBER: Final = 2**63
_BLOCK: Final = "blocks."


def _bounded(value: JsonValue, depth: int = 0) -> None:
    """Raise ValueError where a body is deeper or longer than any real one, or is no JSON."""
    if depth > _DEEPEST:
        raise ValueError(f"more than {_DEEPEST} levels are too many")
    match value:
        case dict():
            if not all(name and name.isprintable() for name in value):
                raise ValueError("each name is text of one line")
            for each in value.values():
                _bounded(each, depth + 1)
        case list():
            for each in value:
                _bounded(each, depth + 1)
        case _:
            _plain(value)


def _plain(value: JsonValue) -> None:
    match value:
        case None:
            raise ValueError("a field without a value: leave it out, then it is not managed")
        case str() if len(value) > _LONGEST:
            raise ValueError(f"text of at most {_LONGEST} characters is needed")
        case float() if not math.isfinite(value):
            raise ValueError("a finite number is needed")
        case int() if abs(value) >= _LARGEST_NUMBER:
            raise ValueError("a number of at most 64 bits is needed")
        case _:
            pass


def _body(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _bounded(value)
    return value


def _settings(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _bounded(value)
    names = {*value, *(f"{outer}.{inner}" for outer, below in value.items() for inner in _names(below))}
    blocks = sorted(name for name in names if name.removeprefix("index.").startswith(_BLOCK))
    if blocks or {"blocks", "index.blocks"} & names:
        raise ValueError(
            "blocks are set by Elasticsearch (a full disk, a lifecycle policy) or by a person:"
            " they are reported, never set or cleared"
        )
    return value


def _names(value: JsonValue) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, dict) else ()


#: A JSON object as Elasticsearch's documentation writes it.
JsonMap = Annotated[dict[str, JsonValue], AfterValidator(_body), WithJsonSchema({"type": "object"})]
#: Settings, nested or with dots, with or without ``index.`` in front.
SettingMap = Annotated[dict[str, JsonValue], AfterValidator(_settings), WithJsonSchema({"type": "object"})]
#: These reach paths of requests: no blank, slash, percent sign or comma, and never a dot or minus first.
IndexName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,199}$")]
IndexPattern = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._*-]{0,199}$")]
DefinitionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,199}$")]
ClusterSettingName = Annotated[str, StringConstraints(pattern=r"^[a-z][A-Za-z0-9_*-]*(\.[A-Za-z0-9_*-]+)+$")]
ClusterSettingValue = bool | int | float | str | tuple[str, ...]
ClusterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,63}$")]


class ClusterHealth(enum.Enum):
    """The worst state of the cluster that is accepted."""

    GREEN = "green"
    YELLOW = "yellow"


class LifecyclePhaseName(enum.Enum):
    """The phases of an index's life, in their order."""

    HOT = "hot"
    WARM = "warm"
    COLD = "cold"
    FROZEN = "frozen"
    DELETE = "delete"


class LifecyclePhase(Model):
    """One phase: when it begins, and what is done then."""

    min_age: Annotated[str, StringConstraints(pattern=r"^\d{1,9}(ms|s|m|h|d)$")] = "0ms"
    """Age at which an index enters it, such as 30d; counted from its creation, or from its rollover."""
    actions: JsonMap = Field(default_factory=dict)
    """Actions as Elasticsearch names them, such as rollover, forcemerge or delete."""


class LifecyclePolicy(Model):
    """An index lifecycle (ILM) policy: all of it."""

    phases: Annotated[dict[LifecyclePhaseName, LifecyclePhase], Field(min_length=1)]
    """hot, warm, cold, frozen, delete."""


class ComponentTemplate(Model):
    """A piece that index templates are composed of: all of it."""

    settings: SettingMap = Field(default_factory=dict)
    """Index settings, with or without "index." in front."""
    mappings: JsonMap = Field(default_factory=dict)
    """Mappings as Elasticsearch writes them."""
    aliases: dict[IndexName, JsonMap] = Field(default_factory=dict)
    """Aliases that a new index gets, each with its options or {}."""


class IndexTemplate(ComponentTemplate):
    """What new indices get whose names match: all of it. Indices that exist keep what they have."""

    patterns: Annotated[tuple[IndexPattern, ...], Field(min_length=1)]
    """Names that it is for, such as psa-logs-*."""
    composed_of: tuple[DefinitionName, ...] = ()
    """Component templates, the later ones winning."""
    priority: Annotated[int, Field(strict=True, ge=0, le=2**31)] | None = None
    """The highest one wins where several match; say 200 or more, below are Elasticsearch's own."""
    data_stream: bool = False
    """Whether matching names are data streams."""


class Index(Model):
    """An index that must exist."""

    settings: SettingMap = Field(default_factory=dict)
    """Its settings; those that only a new index takes are verified, the others are kept so."""
    mappings: JsonMap = Field(default_factory=dict)
    """Fields that it must have; others are left alone. A field is added, its type never changed."""


class IndexAlias(Model):
    """A second name of one or more indices: exactly these have it."""

    indices: Annotated[tuple[IndexName, ...], Field(min_length=1)]
    """The indices that have it. Others lose it, in one call that takes the old and gives the new."""
    write_index: IndexName | None = None
    """The one of them that takes what is written to the alias."""
    rollover: bool = False
    """A lifecycle policy, or a person, rolls it over: the one index is only its beginning."""

    @model_validator(mode="after")
    def _agrees(self) -> "IndexAlias":
        if self.write_index is not None and self.write_index not in self.indices:
            raise ValueError(f"writeIndex {self.write_index} is none of its indices")
        if self.rollover and len(self.indices) > 1:
            raise ValueError("what is rolled over begins with one index")
        return self


class Absent(Model):
    """What must not exist. Each deletion needs its verb in allow."""

    indices: tuple[IndexName, ...] = ()
    """Indices, with their documents: delete-index."""
    index_templates: tuple[DefinitionName, ...] = ()
    """Index templates: delete-definition."""
    component_templates: tuple[DefinitionName, ...] = ()
    """Component templates: delete-definition."""
    lifecycle_policies: tuple[DefinitionName, ...] = ()
    """Lifecycle policies that no index uses any more: delete-definition."""


class ElasticsearchSpec(Spec):
    """One Elasticsearch cluster, version 8.0 or newer."""

    endpoint: EndpointName
    """The cluster, one of the settings' endpoints."""
    cluster_name: ClusterName | None = None
    """Its name; at another cluster nothing is changed."""
    minimum_version: VersionFloor | None = None
    """Lowest version that is accepted."""
    health: ClusterHealth = ClusterHealth.GREEN
    """Worst state that is accepted; yellow where replicas have no second node."""
    cluster_settings: dict[ClusterSettingName, ClusterSettingValue] = Field(default_factory=dict)
    """Persistent settings of the cluster by their names, such as action.auto_create_index."""
    lifecycle_policies: dict[DefinitionName, LifecyclePolicy] = Field(default_factory=dict)
    """ILM policies by their names."""
    component_templates: dict[DefinitionName, ComponentTemplate] = Field(default_factory=dict)
    """Component templates by their names."""
    index_templates: dict[DefinitionName, IndexTemplate] = Field(default_factory=dict)
    """Index templates by their names."""
    indices: dict[IndexName, Index] = Field(default_factory=dict)
    """Indices by their names."""
    aliases: dict[IndexName, IndexAlias] = Field(default_factory=dict)
    """Aliases by their names."""
    absent: Absent = Absent()
    """What must not exist."""

    @model_validator(mode="after")
    def _agrees(self) -> "ElasticsearchSpec":
        absent = self.absent
        for wanted, unwanted, what in (
            (self.indices, absent.indices, "index"),
            (self.index_templates, absent.index_templates, "index template"),
            (self.component_templates, absent.component_templates, "component template"),
            (self.lifecycle_policies, absent.lifecycle_policies, "lifecycle policy"),
        ):
            both = sorted(set(wanted) & set(unwanted))
            if both:
                raise ValueError(f"the {what} {both[0]} cannot both exist and be absent")
        both = sorted(set(self.indices) & set(self.aliases))
        if both:
            raise ValueError(f"{both[0]} is an index and an alias: Elasticsearch has one name for one thing")
        return self

    def selects(self) -> tuple[Selection, ...]:
        """Select the endpoint."""
        return (Selection(self.endpoint, "elasticsearch"),)

    def claims(self, name: str) -> tuple[Claim, ...]:
        """Claim the cluster."""
        return (Claim(f"Elasticsearch {self.endpoint}", ("spec", "endpoint")),)


class ElasticsearchStatus(Model):
    """What was last seen of a cluster. Figures that always move are metrics, not here."""

    version: str | None = None
    """Version of the node that answered."""
    cluster_name: str | None = None
    """Name of the cluster."""
    cluster_uuid: str | None = None
    """Its identity; another one means that the cluster was made anew."""
    health: str | None = None
    """green, yellow or red."""
    nodes: int | None = None
    """Number of nodes."""
    lifecycle: str | None = None
    """Whether ILM works: RUNNING, STOPPING or STOPPED."""
    read_only: tuple[str, ...] = ()
    """Indices that take no changes, because of a full disk or by hand."""
