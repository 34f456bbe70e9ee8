"""What a failure below HTTP means, by aiohttp's errors."""

import aiohttp

from reconcilers.contract import NotSentError, PermanentError, TransientError


def of_connection(exc: Exception, where: str, deadline_s: float) -> TransientError | PermanentError:
    """Return what a failure below HTTP means; NotSentError where nothing of ours can have been done."""
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        words = getattr(exc.certificate_error, "verify_message", "") or str(exc.certificate_error)
        return PermanentError(f"no TLS with {where}: {words}", reason="TlsFailed")
    if isinstance(exc, aiohttp.ClientSSLError):
        words = str(getattr(exc.os_error, "reason", None) or exc.os_error).lower().replace("_", " ")
        return PermanentError(f"no TLS with {where}: {words}", reason="TlsFailed")
    if isinstance(exc, aiohttp.ClientConnectorError):
        words = exc.os_error.strerror or str(exc.os_error)
        is_refused = isinstance(exc.os_error, ConnectionRefusedError)
        return NotSentError(f"cannot connect to {where}: {'nobody listens there' if is_refused else words}")
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return NotSentError(f"cannot connect to {where}: no answer")
    if isinstance(exc, TimeoutError):
        return TransientError(f"no answer within {deadline_s:g} s from {where}")
    # Words about what was no HTTP hold what was sent, over several lines, and other ones each time.
    is_garbled = isinstance(exc, aiohttp.ClientResponseError)
    words = "what answers there speaks no HTTP that can be understood" if is_garbled else str(exc)
    return TransientError(f"{where}: {words or type(exc).__name__}")
