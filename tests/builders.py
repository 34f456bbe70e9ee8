"""Valid objects for tests, one keyword for each field that a test cares about."""

from collections.abc import Mapping
from datetime import UTC, datetime

from crds.container import ContainerSpec
from crds.meta import Key, Origin, Spec
from reconcilers.contract import AnyResource, Resource

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def a_container_spec(**fields: object) -> ContainerSpec:
    """Return a small container's spec; keywords are the fields of a file, in camelCase."""
    return ContainerSpec.model_validate(
        {
            "endpoint": "pve",
            "ctid": 100,
            "node": "pve1",
            "template": "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst",
            "cores": 2,
            "memory": "4Gi",
            "swap": 0,
            "disk": "10Gi",
            **fields,
        }
    )


def a_resource(spec: Spec, name: str = "one", kind: str = "Container", **fields: object) -> AnyResource:
    """Return an object as the store would have it after it was declared."""
    values: Mapping[str, object] = {
        "key": Key(kind, name),
        "uid": "0123456789abcdef0123456789abcdef",
        "generation": 1,
        "spec": spec,
        "created_at": START,
        "origin": Origin(f"{name}.yaml", 1),
        **fields,
    }
    return Resource(**values)  # type: ignore[arg-type]  # keywords of a test, checked when it runs
