"""Passwords as PostgreSQL stores them, SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677): pure.

The form is ``SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY``, all but the number in base64
(src/common/scram-common.c of PostgreSQL). A verifier is no password: it may stand in a statement.
"""

import base64
import binascii
import hashlib
import hmac
import re
from typing import Final

_FORM: Final = re.compile(r"SCRAM-SHA-256\$(\d{1,7}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")
ITERATIONS: Final = 4096
SALT_BYTES: Final = 16
_MOST_ITERATIONS: Final = 100_000


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """Return what PostgreSQL would store. Passwords of ASCII characters need no SASLprep (RFC 4013)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored, server = hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${_text(stored)}:{_text(server)}"


def is_password(password: str, stored: str) -> bool:
    """Whether *stored* is a verifier of *password*; what is no SCRAM verifier (md5) is not."""
    match = _FORM.fullmatch(stored)
    if match is None or not 0 < int(match[1]) <= _MOST_ITERATIONS:
        return False
    try:
        salt = base64.b64decode(match[2], validate=True)
    except binascii.Error:
        return False
    return hmac.compare_digest(verifier(password, salt, int(match[1])), stored)


def salt_for(seed: bytes) -> bytes:
    """Return a salt of *seed*, random bytes or a digest of what nobody can guess."""
    return hashlib.sha256(seed).digest()[:SALT_BYTES]


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
