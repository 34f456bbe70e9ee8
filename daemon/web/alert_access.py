"""Who may send alerts: a bearer token, a client certificate, or both."""

import hashlib
import hmac
import ssl
from dataclasses import dataclass
from typing import Final, Self

_SCHEME: Final = "bearer "


@dataclass(frozen=True, slots=True)
class Access:
    """How alerts come in. ``listen`` is an address of their own, None for the daemon's.

    Without ``digests`` no token is asked for: then *context* lets nobody in who has no certificate.
    """

    digests: tuple[bytes, ...]
    listen: str | None = None
    context: ssl.SSLContext | None = None

    @classmethod
    def of(cls, tokens: tuple[str, ...], listen: str | None, context: ssl.SSLContext | None) -> Self:
        """Return access by any of *tokens*; only their SHA-256 is kept."""
        return cls(tuple(hashlib.sha256(token.encode()).digest() for token in tokens), listen, context)

    def admits(self, authorization: str) -> bool:
        """Whether that header has a valid token; it takes the same time whichever of its bytes is wrong."""
        given = authorization[len(_SCHEME) :].strip() if authorization.lower().startswith(_SCHEME) else ""
        digest = hashlib.sha256(given.encode(errors="surrogateescape")).digest()
        found = [hmac.compare_digest(digest, each) for each in self.digests]
        return any(found) or not self.digests
