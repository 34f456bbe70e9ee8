"""What Elasticsearch's error bodies mean."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from pydantic import JsonValue

from reconcilers.contract import NotSentError, PermanentError, TransientError
from reconcilers.elasticsearch.client import NoMasterError

_LONGEST: Final = 400
_LONGEST_REST_S: Final = 300.0
#: Parts of reasons, and what they mean; what the server explains well stands in the message as it is.
_REFUSALS: Final[tuple[tuple[str, str], ...]] = (
    ("set as read-only by", "ManagedByFileSettings"),
    ("non dynamic settings", "StaticSetting"),
    ("cannot be changed from type", "MappingConflict"),
    ("Cannot update parameter", "MappingConflict"),
    ("Mapper for [", "MappingConflict"),
    ("mapper [", "MappingConflict"),
    ("unknown setting", "UnknownSetting"),
    ("not recognized", "UnknownSetting"),
    ("is in use by", "InUse"),
    ("in use by one or more indices", "InUse"),
)


def of_answer(
    status: int, body: JsonValue, headers: Mapping[str, str], where: str, user: str
) -> TransientError | PermanentError:
    """Return what an answer of 400 and more means."""
    kind, reason = _error(body)
    said = f"{where}: {reason or f'HTTP {status}'}"[:_LONGEST]
    if status == HTTPStatus.UNAUTHORIZED:
        return PermanentError(
            f"{where} does not know {user}, or not with that password", reason="WrongCredentials"
        )
    if status == HTTPStatus.FORBIDDEN and kind == "security_exception":
        return PermanentError(f"{user} may not do all that is needed: {said}", reason="MissingPrivilege")
    if status == HTTPStatus.TOO_MANY_REQUESTS and kind != "cluster_block_exception":
        rest_s = _rest_s(headers)
        asks = "" if rest_s is None else f"; it asks to wait {rest_s:g} s"
        return TransientError(f"{said}: it has too much to do{asks}", retry_after_s=rest_s)
    return _of_error(status, kind, reason, where)


def _of_error(status: int, kind: str, reason: str, where: str) -> TransientError | PermanentError:
    said = f"{where}: {reason or f'HTTP {status}'}"[:_LONGEST]
    if kind == "master_not_discovered_exception" or "no master" in reason:
        return NoMasterError(f"{where}: {kind}")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or kind == "cluster_block_exception":
        return TransientError(said)
    if kind == "resource_already_exists_exception":
        return NotSentError(f"{said}: somebody else made it")
    return PermanentError(said, reason=_reason(reason))


def _error(body: JsonValue) -> tuple[str, str]:
    """Return type and reason of an error body; its cause says more where there is one."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return "", str(error or "")
    reason = str(error.get("reason") or "")
    cause = error.get("caused_by")
    if isinstance(cause, dict) and cause.get("reason") and str(cause["reason"]) not in reason:
        reason = f"{reason}: {cause['reason']}"
    return str(error.get("type") or ""), " ".join(reason.split())


def _reason(text: str) -> str:
    return next((reason for part, reason in _REFUSALS if part in text), "RequestRefused")


def _rest_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of Retry-After, bounded; a date is not taken, for clocks differ."""
    text = headers.get("Retry-After", "")
    return min(float(text), _LONGEST_REST_S) if re.fullmatch(r"\d{1,9}", text) else None
