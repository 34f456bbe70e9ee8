"""What a cluster holds, and how names are resolved in it."""

import fnmatch
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Self

from pydantic import JsonValue

from lab.es.answers import Json, no_index


@dataclass
class IndexState:
    """One index: flat settings, mapping, aliases, and how many documents it got."""

    settings: Json
    mappings: Json = field(default_factory=dict)
    aliases: dict[str, Json] = field(default_factory=dict)
    documents: int = 0
    born_at: float = 0.0
    """Seconds since 1970 from which its age counts: its creation, or its rollover."""


@dataclass
class Faults:
    """What is wrong with the cluster on demand."""

    color: str | None = None
    """Its health whatever its shards are."""
    no_master: bool = False
    busy: int = 0
    """How many more requests that change something are answered with 429."""
    retry_after_s: int | None = None
    """What those say; None for nothing."""
    reserved: list[str] = field(default_factory=list)
    """Names of definitions that file-based settings hold."""


@dataclass
class World:
    """A cluster's state. ``accounts`` are passwords by user, ``watchers`` users who may only look."""

    name: str = "psa-platform"
    uuid: str = ""
    version: str = "8.15.3"
    nodes: int = 1
    accounts: dict[str, str] = field(default_factory=dict)
    watchers: list[str] = field(default_factory=list)
    api_keys: list[str] = field(default_factory=list)
    persistent: Json = field(default_factory=dict)
    transient: Json = field(default_factory=dict)
    policies: dict[str, Json] = field(default_factory=dict)
    components: dict[str, Json] = field(default_factory=dict)
    templates: dict[str, Json] = field(default_factory=dict)
    indices: dict[str, IndexState] = field(default_factory=dict)
    lifecycle_runs: bool = True
    faults: Faults = field(default_factory=Faults)
    changes: int = 0
    """How many requests changed something."""

    def __post_init__(self) -> None:
        self.uuid = self.uuid or hashlib.sha256(self.name.encode()).hexdigest()[:22]

    def to_json(self) -> str:
        """Return all of it, for a file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what ``to_json`` wrote."""
        found = json.loads(text)
        indices = {name: IndexState(**each) for name, each in found.pop("indices").items()}
        return cls(indices=indices, faults=Faults(**found.pop("faults")), **found)

    def holders(self, alias: str) -> dict[str, Json]:
        """Return the options of an alias by the index that has it."""
        return {name: each.aliases[alias] for name, each in self.indices.items() if alias in each.aliases}

    def writer(self, name: str) -> str:
        """Return the index that takes what is written to an index or alias; the name itself if it is none."""
        holders = self.holders(name)
        writers = [index for index, options in holders.items() if options.get("is_write_index")]
        if writers:
            return writers[0]
        return next(iter(holders)) if len(holders) == 1 else name

    def resolve(self, names: str, *, lenient: bool = False) -> list[str]:
        """Return the indices that a list of names, aliases and patterns means."""
        found: dict[str, None] = {}
        for each in names.split(","):
            if "*" in each or each == "_all":
                pattern = "*" if each == "_all" else each
                found |= dict.fromkeys(self._matching(pattern))
            elif each in self.indices:
                found[each] = None
            elif self.holders(each):
                found |= dict.fromkeys(self.holders(each))
            elif not lenient:
                raise no_index(each)
        return sorted(found)

    def _matching(self, pattern: str) -> Iterable[str]:
        for name, each in self.indices.items():
            if any(fnmatch.fnmatchcase(known, pattern) for known in (name, *each.aliases)):
                yield name

    def users_of(self, policy: str) -> list[str]:
        """Return the indices that a lifecycle policy is for."""
        return sorted(
            name for name, each in self.indices.items() if each.settings.get("index.lifecycle.name") == policy
        )

    def unassigned(self) -> int:
        """Return how many copies of shards have no node."""
        return sum(
            int(str(each.settings["index.number_of_shards"]))
            * max(0, int(str(each.settings["index.number_of_replicas"])) - self.nodes + 1)
            for each in self.indices.values()
        )


def settings_of(body: JsonValue) -> Json:
    """Return the settings of a template's inner body."""
    found = body.get("settings") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}
