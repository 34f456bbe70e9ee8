"""What RabbitMQ's refusals mean for us. Pure: statuses and reasons in, the contract's errors out."""

from collections.abc import Mapping
from typing import Final

from reconcilers.contract import PermanentError, TransientError
from reconcilers.rabbitmq.model import MissingError

_UNAUTHORISED: Final = 401
_NOT_FOUND: Final = 404
_BAD_REQUEST: Final = 400
_PASSING: Final = frozenset({408, 425, 429})
#: 401 is for everything: only these words mean the password. RabbitMQ 3.10 and 4.
_WRONG_CREDENTIALS: Final = frozenset({"login failed", "not_authorized", "not authorized"})
#: How a tag is given, by what the broker says is missing.
_TAGS: Final[Mapping[str, str]] = {
    "not administrator user": "administrator",
    "not management user": "management",
    "not monitor user": "monitoring",
    "not policymaker user": "policymaker",
}


def of_answer(what: str, where: str, user: str, status: int, body: object) -> TransientError | PermanentError:
    """Return what an answer without success means. *what* is the request, for people."""
    error, reason = _said(body)
    if status == _UNAUTHORISED:
        return _unauthorised(what, where, user, reason)
    if status == _NOT_FOUND and not error:
        return no_api(where)
    text = f"{what} on {where}: {status}, {reason or error or 'without a reason'}"
    if status == _BAD_REQUEST:
        kind = "InequivalentArguments" if "inequivalent arg" in reason else "Refused"
        return PermanentError(text, reason=kind)
    if status == _NOT_FOUND:
        return MissingError(text)
    # 5xx: it starts, ends, or has lost its quorum.
    is_final = _BAD_REQUEST < status < 500 and status not in _PASSING  # noqa: PLR2004 - the 4xx
    return PermanentError(text, reason="Refused") if is_final else TransientError(text)


def no_api(where: str) -> PermanentError:
    """Return what a broker without the management plugin means."""
    return PermanentError(
        f"{where} is there, and has no management API: on its host,"
        " rabbitmq-plugins enable rabbitmq_management",
        reason="ManagementPluginMissing",
    )


def _unauthorised(what: str, where: str, user: str, reason: str) -> PermanentError:
    if reason.lower() in _WRONG_CREDENTIALS:
        text = f"{where} does not take the password of user {user}, or has no such user: {reason}"
        return PermanentError(text, reason="WrongCredentials")
    tag = _TAGS.get(reason.lower())
    help_text = (
        f"rabbitmqctl set_user_tags {user} {tag}"
        if tag is not None
        else f"rabbitmqctl set_permissions -p VHOST {user} '.*' '.*' '.*'"
    )
    text = f"user {user} may not {what} on {where}: {reason or 'no reason given'}; on its host, {help_text}"
    return PermanentError(text, reason="MissingPrivilege")


def _said(body: object) -> tuple[str, str]:
    """Return the fields ``error`` and ``reason`` as one line each."""
    if not isinstance(body, Mapping):
        return "", ""
    return _line(body.get("error")), _line(body.get("reason"))


def _line(value: object) -> str:
    text = " ".join(str(value or "").split())[:400]
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
