"""What PostgreSQL's errors mean, by SQLSTATE (appendix A of its documentation)."""

import ssl
from typing import Final

from reconcilers.contract import NotSentError, PermanentError, TransientError

#: While a session is being opened: nothing of ours was done.
_AT_THE_DOOR: Final = {
    "28P01": "WrongPassword",
    "28000": "NotAdmitted",
    "3D000": "UnknownDatabase",
    "42501": "MissingPrivilege",
}
#: The statement was undone, and another try may succeed.
_UNDONE: Final = {
    "25006": "it is a standby, and takes no writes: who is the primary is looked up again",
    "55P03": "what it needs is locked by another session",
    "57014": "it took too long and was undone",
    "55006": "it is in use",
    "55000": "the server is not in the state for it",
    "40001": "another transaction came between",
    "40P01": "there was a deadlock, and it was undone",
    "42710": "it is there already",
    "42P04": "it is there already",
    "42P06": "it is there already",
    "23505": "somebody makes it at the same moment",
}
#: The server will never take it as it is.
_REFUSED: Final = {
    "42501": "MissingPrivilege",
    "22023": "BadValue",
    "55P02": "SettingFixed",
    "42602": "BadName",
    "42622": "BadName",
    "42939": "BadName",
    "0A000": "NotSupported",
    "42704": "UnknownObject",
    "3D000": "UnknownDatabase",
    "3F000": "UnknownSchema",
}
_NO_RESOURCES: Final = "53"
_OUR_FAULT: Final = ("22", "42", "0A")


def of_connecting(sqlstate: str | None, text: str, where: str, user: str) -> TransientError | PermanentError:
    """Return what a refusal to open a session means."""
    if sqlstate in _AT_THE_DOOR:
        words = f"{where} refuses user {user}: {text}"
        return PermanentError(words, reason=_AT_THE_DOOR[sqlstate])
    return NotSentError(f"cannot connect to {where}: {text}")


def of_network(exc: BaseException, where: str, *, is_tls: bool) -> TransientError | PermanentError:
    """Return what a failure below the protocol means, before a session is open."""
    cause = _root(exc)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return PermanentError(f"no TLS with {where}: {cause.verify_message}", reason="TlsFailed")
    if isinstance(cause, ssl.SSLError):
        return PermanentError(f"no TLS with {where}: {cause.reason or cause}", reason="TlsFailed")
    if is_tls and "SSL" in str(exc):
        return PermanentError(f"no TLS with {where}: the server offers none", reason="TlsFailed")
    if isinstance(exc, TimeoutError):
        return NotSentError(f"cannot connect to {where}: no answer")
    if isinstance(cause, ConnectionRefusedError):
        return NotSentError(f"cannot connect to {where}: nobody listens there")
    return NotSentError(f"cannot connect to {where}: {str(exc) or type(exc).__name__}")


def of_talking(sqlstate: str | None, text: str, where: str) -> TransientError | PermanentError:
    """Return what an error that a statement was answered with means."""
    code = sqlstate or ""
    if code in _UNDONE:
        return NotSentError(f"{where}: {text} ({_UNDONE[code]})")
    if code.startswith(_NO_RESOURCES):
        return NotSentError(f"{where}: {text}")
    reason = _REFUSED.get(code) or ("Refused" if code.startswith(_OUR_FAULT) else None)
    if reason is None:
        return TransientError(f"{where}: {text}")
    if code == "42704" and "configuration parameter" in text:
        reason = "UnknownSetting"
    return PermanentError(f"{where}: {text}", reason=reason)


def _root(exc: BaseException) -> BaseException:
    while (below := exc.__cause__ or exc.__context__) is not None:
        exc = below
    return exc
