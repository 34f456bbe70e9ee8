"""Which container is which: slots read from the service files, versions from template names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from crds.service import Color, ServiceSpec


@dataclass(frozen=True, slots=True)
class Slot:
    """One colour of a service: what serves when container ``ctid`` runs, and where it listens."""

    service: str
    color: Color
    ctid: int
    host: str
    port: int
    server: str
    template: str
    """Volume of the template, with {version} in it."""
    health_path: str
    health: Mapping[str, str]
    """Fields that the health answer must have."""
    backend: str | None
    """HAProxy backend that the service stands behind."""
    peers: tuple[str, ...] = ()
    """Services that it calls in its own colour."""


def read_services(folder: Path) -> dict[str, ServiceSpec]:
    """Return the services of all files below *folder* by name, leaving out what is not one or not valid."""
    found = {}
    for path in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")]):
        try:
            text = path.read_text() if path.is_file() else ""  # a pipe would wait for its writer for ever
            documents = list(yaml.safe_load_all(text))
        except (
            OSError,
            ValueError,
            RecursionError,
            yaml.YAMLError,
        ):  # a number of 5000 digits is a ValueError
            continue  # the daemon is the one that complains
        for document in documents:
            if isinstance(document, dict) and document.get("kind") == "Service":
                try:
                    found[str(document["metadata"]["name"])] = ServiceSpec.model_validate(document["spec"])
                except (ValidationError, KeyError, TypeError):
                    continue
    return found


def slots_of(services: Mapping[str, ServiceSpec]) -> dict[int, Slot]:
    """Return both slots of each service, by container id."""
    found = {}
    for name, spec in services.items():
        for color in Color:
            slot = spec.colors[color]
            found[slot.ctid] = Slot(
                service=name,
                color=color,
                ctid=slot.ctid,
                host=slot.address.split("/")[0],
                port=slot.port,
                server=slot.server or color.value,
                template=spec.container.template,
                health_path=spec.health.path,
                health=dict(spec.health.expect),
                backend=spec.backend.name if spec.backend is not None else None,
                peers=spec.peers,
            )
    return found


def version_of(template: str, pattern: str) -> str:
    """Return what stands in *template* where *pattern* has {version}; ``unknown`` if it does not fit."""
    before, _, after = pattern.partition("{version}")
    match = re.fullmatch(f"{re.escape(before)}(.+){re.escape(after)}", template)
    return match[1] if match is not None else "unknown"
