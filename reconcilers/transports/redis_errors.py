"""What redis-py's errors mean. Its ConnectionError and TimeoutError are none of the builtins."""

import ssl
from typing import Final

import redis.exceptions as errors

from reconcilers.contract import NotSentError, PermanentError, TransientError

WRONG_PASSWORD: Final = "WrongPassword"  # noqa: S105 - a reason, no password
_NO_ANSWER: Final = "no answer"


def is_wrong_password(error: TransientError | PermanentError) -> bool:
    """Whether another password may help."""
    return isinstance(error, PermanentError) and error.reason == WRONG_PASSWORD


def of_connecting(exc: Exception, where: str, user: str, *, is_tls: bool) -> TransientError | PermanentError:
    """Return what an error before the first command means: nothing of ours was done."""
    text, cause = str(exc), _root(exc)
    if isinstance(exc, errors.AuthenticationError):
        return PermanentError(f"{where} refuses user {user}: {text}", reason=WRONG_PASSWORD)
    if isinstance(cause, ssl.SSLError) or "SSL" in text:
        return PermanentError(f"no TLS with {where}: {_tls_words(cause, text)}", reason="TlsFailed")
    if "protected mode" in text:
        words = f"{where} is in protected mode: it has no password, and takes nobody from elsewhere"
        return PermanentError(words, reason="ProtectedMode")
    if isinstance(exc, errors.TimeoutError):
        # A server that speaks no TLS waits for the end of the line.
        hint = "; it is asked for TLS: is this its tls-port?" if is_tls else ""
        return NotSentError(f"cannot connect to {where}: {_NO_ANSWER}{hint}")
    return NotSentError(f"cannot connect to {where}: {_os_words(cause, text)}")


def of_talking(exc: Exception, where: str) -> TransientError | PermanentError:
    """Return what an error in the middle of an exchange means: what became of it is unknown."""
    if isinstance(exc, errors.AuthenticationError | errors.AuthorizationError) or "NOAUTH" in str(exc):
        words = f"{where} wants a password: give its endpoint a passwordFile"
        return PermanentError(words, reason=WRONG_PASSWORD)
    if isinstance(exc, errors.TimeoutError):
        return TransientError(f"{_NO_ANSWER} from {where}")
    return TransientError(f"{where}: {str(exc) or type(exc).__name__}")


def _root(exc: BaseException) -> BaseException:
    """Return the error that redis-py wrapped, which it keeps as cause or context."""
    while (below := exc.__cause__ or exc.__context__) is not None:
        exc = below
    return exc


def _os_words(cause: BaseException, text: str) -> str:
    if isinstance(cause, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return text


def _tls_words(cause: BaseException, text: str) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message or text
    if isinstance(cause, ssl.SSLError) and cause.reason:
        return cause.reason.lower().replace("_", " ")
    return text
