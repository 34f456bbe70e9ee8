"""What every object has: its key, its metadata, its conditions, and the fields that all specs share."""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints
from pydantic.alias_generators import to_camel

from crds.quantity import Duration

API_VERSION: Final = "psa.platform/v1"

#: Names reach HAProxy, Proxmox and file names: RFC 1123 labels only.
ObjectName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", max_length=63)]
#: The name of something that the root-owned settings list (an endpoint, a hook).
EndpointName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
#: The name of a secret file that the settings list.
SecretName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
LabelText = Annotated[str, StringConstraints(max_length=253, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Model(BaseModel):
    """A frozen piece of desired state; YAML says camelCase, Python snake_case, unknown fields are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The identity of an object: its kind and its name, never the path of its file."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``Kind/name``; raise ValueError that says what is allowed."""
        if not re.fullmatch(r"[A-Z][A-Za-z]{1,40}/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", text):
            raise ValueError(f"{text!r} is not of the form Kind/name, such as Container/psa-redis")
        kind, name = text.split("/")
        return cls(kind, name)


def _as_key(value: object) -> object:
    return Key.parse(value) if isinstance(value, str) else value


Reference = Annotated[Key, BeforeValidator(_as_key), PlainSerializer(str, return_type=str)]


class Mode(enum.Enum):
    """Whether differences are removed (Enforce) or only reported (Observe)."""

    ENFORCE = "Enforce"
    OBSERVE = "Observe"


class DeletionPolicy(enum.Enum):
    """What becomes of the real thing when its object goes."""

    RETAIN = "Retain"
    DELETE = "Delete"


class Verb(enum.Enum):
    """The closed list of destructive actions; each needs its own entry in ``spec.allow``."""

    RECREATE = "recreate"
    """Destroy the container and make it anew, because a create-time field changed."""
    RESTART = "restart"
    """Restart the container, or the server, so that a pending change takes effect."""
    FORCE_STOP = "force-stop"
    """Cut the power when an orderly shutdown does not end in time."""
    REPLACE_BROKEN_STABLE = "replace-broken-stable"
    """Release a version although the live one is broken: then nothing sound is left to go back to."""
    LOWER_DURABILITY = "lower-durability"
    """Let Redis keep less of what is written: AOF off, no snapshots, fewer fsyncs."""
    EVICT = "evict"
    """Give Redis a memory limit below what is in use: keys are evicted at once, or writes refused."""
    REPLACE_DATA = "replace-data"
    """Make a Redis server that has keys a replica of another one: its own keys go."""
    DELETE_INDEX = "delete-index"
    """Delete an index of Elasticsearch with its documents."""
    DELETE_DEFINITION = "delete-definition"
    """Delete an index template, a component template or a lifecycle policy of Elasticsearch."""
    ILM_DELETES_NOW = "ilm-deletes-now"
    """Change a lifecycle policy so that Elasticsearch deletes indices at once which it would still keep."""
    REPLICAS_ZERO = "replicas-zero"
    """Take away the last copy of an index: one lost node then loses its documents."""
    SWAP_WRITE_INDEX = "swap-write-index"
    """Let what is written to an alias go into another index from now on."""
    CHANGE_OWNER = "change-owner"
    """Give a database to another role: its old owner loses what nobody granted it."""
    REBUILD = "rebuild"
    """Build a PostgreSQL standby anew that cannot stream any more: what it has is thrown away."""
    DROP_SLOT = "drop-slot"
    """Drop a replication slot that must be absent, once nobody reads it: its reader must be built anew."""
    DROP_DATABASE = "drop-database"
    """Drop a database that must be absent, with all that is in it, once nobody is connected to it."""
    DELETE_QUEUE = "delete-queue"
    """Delete a RabbitMQ queue that must be absent, once it is empty and unused."""
    DELETE_EXCHANGE = "delete-exchange"
    """Delete a RabbitMQ exchange that must be absent, once nothing is bound to it."""
    DELETE_USER = "delete-user"
    """Delete a RabbitMQ user that must be absent: its connections end."""
    UNBIND = "unbind"
    """Delete a RabbitMQ binding that must be absent: such messages do not come there any more."""
    LOSSY_POLICY = "lossy-policy"
    """Change a RabbitMQ policy so that queues which hold messages may lose some of them."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A real thing that an object says is its own; two objects with one claim are both refused.

    ``target`` names the thing for people and for comparison (``CT 100 on pve``); ``path`` leads to the field.
    """

    target: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """An endpoint of the settings that an object selects, and the ``type`` that it must have there.

    ``path`` leads to the field.
    """

    endpoint: str
    type: str
    path: tuple[str, ...] = ("spec", "endpoint")


class Spec(Model):
    """The fields that every spec has."""

    depends_on: tuple[Reference, ...] = ()
    """Objects that must be Ready before this one is changed, each as Kind/name."""
    mode: Mode = Mode.ENFORCE
    """Enforce removes differences, Observe only reports them; the daemon's own mode may be stricter."""
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    """What becomes of the real thing when the file goes."""
    allow: tuple[Verb, ...] = ()
    """Destructive verbs that may be used on this object."""
    adopt: bool = False
    """Take over a real thing that exists already and was not made by us."""
    poll_interval: Duration | None = None
    """How often the real thing is looked at; by default every 60 s (a traffic split every second)."""
    suspend: bool = False
    """Leave the real thing alone until this is false again."""

    def claims(self, name: str) -> tuple[Claim, ...]:
        """Return the real things that the object *name* with this spec owns."""
        return ()

    def selects(self) -> tuple[Selection, ...]:
        """Return the endpoints that this spec selects."""
        return ()

    def child_lines(self, child: Key, lines: Mapping[str, int]) -> Mapping[str, int]:
        """Return which lines of this object's file ask for the fields of *child*; *lines* are its own."""
        return lines


class Metadata(Model):
    """Name, labels and annotations as they stand in a file."""

    name: ObjectName
    """Unique within the kind; the object's identity together with the kind."""
    labels: dict[LabelText, LabelText] = Field(default_factory=dict)
    """Free words to find the object by."""
    annotations: dict[LabelText, LabelText] = Field(default_factory=dict)
    """Free text that we keep and do not read."""


class Truth(enum.Enum):
    """The status of a condition; unknown is neither true nor false."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class ConditionType(enum.Enum):
    """The nine things that can be said of any object (DESIGN §3)."""

    READY = "Ready"
    SYNCED = "Synced"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    DRIFTED = "Drifted"
    STALLED = "Stalled"
    DEPENDENCIES_READY = "DependenciesReady"
    ADOPTED = "Adopted"
    SOURCE_VALID = "SourceValid"


@dataclass(frozen=True, slots=True)
class Condition:
    """One statement about an object. ``since`` (UTC) moves only when ``status`` flips."""

    type: ConditionType
    status: Truth
    reason: str
    message: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an object or a field stands in the watched directory; lines count from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def canonical(model: Model) -> dict[str, Any]:
    """Return *model* as plain JSON data in the spelling of the files, without fields that were left out."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=False)
