"""The example platform as a lab uses it: which files are taken, and which templates they need."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

EXAMPLE: Final = Path(__file__).parents[1] / "examples" / "psa-platform"
#: Taken first, in this order: the entry, then what the demo changes.
_FIRST: Final = ("psa-api-gateway", "psa-crm", "psa-tickets")
#: Kinds of what lies in the data services.
DATA_KINDS: Final = ("PostgresCluster", "RedisInstance", "RabbitMQ", "Elasticsearch")
#: Versions that each service has a template of from the beginning.
VERSIONS: Final = ("1.0.0", "1.1.0", "1.2.0", "1.2.3", "1.3.0", "1.5.0", "1.6.0", "1.7.0", "1.8.0", "2.0.0")


@dataclass(frozen=True, slots=True)
class Document:
    """One object of the example, and the file that it stands in (relative to the example)."""

    file: Path
    kind: str
    name: str
    depends_on: tuple[str, ...]
    template: str | None

    @property
    def key(self) -> str:
        """Kind/name."""
        return f"{self.kind}/{self.name}"


def read_example(folder: Path) -> tuple[Document, ...]:
    """Return all objects of the example, by file."""
    found = []
    for path in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")]):
        for data in yaml.safe_load_all(path.read_text()):
            spec = data["spec"]
            shape = spec.get("container", spec)
            found.append(
                Document(
                    file=path.relative_to(folder),
                    kind=data["kind"],
                    name=data["metadata"]["name"],
                    depends_on=tuple(spec.get("dependsOn", ())),
                    template=shape.get("template"),
                )
            )
    return tuple(found)


def choose(
    documents: Iterable[Document], services: int | None, *, data: bool = False
) -> tuple[Document, ...]:
    """Return everything, or the first *services* services with what they depend on and the load balancers.

    What the data services hold is in it only with *data*, and then all of it, if there is any service.
    """
    known = {each.key: each for each in documents if data or each.kind not in DATA_KINDS}
    if services is None:
        return tuple(known.values())
    names = [document.name for document in known.values() if document.kind == "Service"]
    ordered = sorted(names, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
    balancers = [document.key for document in known.values() if document.kind == "LoadBalancer"]
    wanted = [f"Service/{name}" for name in ordered[:services]] + (balancers if services else [])
    wanted += [each.key for each in known.values() if services and each.kind in DATA_KINDS]
    taken: dict[str, Document] = {}
    while wanted:
        key = wanted.pop()
        if key not in taken and key in known:
            taken[key] = known[key]
            wanted.extend(known[key].depends_on)
    return tuple(document for document in known.values() if document.key in taken)


def templates(documents: Iterable[Document]) -> tuple[str, ...]:
    """Return the template volumes that the storage must have, several versions of each service's."""
    found: set[str] = set()
    for document in documents:
        if document.template is not None:
            found.update(document.template.replace("{version}", version) for version in VERSIONS)
    return tuple(sorted(found))


def texts(folder: Path, documents: Iterable[Document]) -> Mapping[Path, str]:
    """Return the files that hold *documents*, as they stand."""
    return {document.file: (folder / document.file).read_text() for document in documents}
