"""Requests and answers, and Elasticsearch's error bodies."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

Json = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; ``authorization`` is its header."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: JsonValue = None
    authorization: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer."""

    status: int
    body: JsonValue
    headers: Mapping[str, str] = field(default_factory=dict)


class EsError(Exception):
    """An error answer: type and reason as Elasticsearch has them."""

    def __init__(
        self,
        status: int,
        kind: str,
        reason: str,
        *,
        headers: Mapping[str, str] | None = None,
        more: Json | None = None,
    ) -> None:
        super().__init__(f"{kind}: {reason}")
        cause: Json = {"type": kind, "reason": reason, **(more or {})}
        body: Json = {"error": {"root_cause": [cause], **cause}, "status": status}
        self.answer = Answered(status, body, headers or {})


ACKNOWLEDGED: Json = {"acknowledged": True}


def illegal(reason: str) -> EsError:
    """Return the error of a request that cannot be carried out."""
    return EsError(400, "illegal_argument_exception", reason)


def no_index(name: str) -> EsError:
    """Return the error of an index that does not exist."""
    more: Json = {"index": name, "index_uuid": "_na_", "resource.id": name, "resource.type": "index_or_alias"}
    return EsError(404, "index_not_found_exception", f"no such index [{name}]", more=more)


def not_found(what: str, name: str) -> EsError:
    """Return the error of a definition that does not exist."""
    return EsError(404, "resource_not_found_exception", f"{what} matching [{name}] not found")


def part(body: JsonValue, name: str) -> Json:
    """Return a mapping below *name*, empty if there is none."""
    found = body.get(name) if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}
