"""Passwords as PostgreSQL stores them, SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677): pure.

The form is ``SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY``, all but the number in base64
(src/common/scram-common.c of PostgreSQL). A verifier is no password: it may stand in a statement.
"""

import base64
import binascii
import hashlib
import hmac
import re
import stringprep
import unicodedata
from typing import Final

_FORM: Final = re.compile(r"SCRAM-SHA-256\$(\d{1,7}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")
ITERATIONS: Final = 4096
SALT_BYTES: Final = 16
_MOST_ITERATIONS: Final = 100_000
_FORBIDDEN: Final = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """Return what PostgreSQL would store."""
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(password).encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored, server = hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${_text(stored)}:{_text(server)}"


def is_password(password: str, stored: str) -> bool:
    """Whether *stored* is a verifier of *password*; what is no SCRAM verifier (md5) is not. 1.7 ms."""
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


def _prepared(password: str) -> str:
    """Return *password* as clients prepare it, SASLprep (RFC 4013); as it is where that forbids it.

    So does pg_saslprep of src/common/saslprep.c, ASCII first. The tables are those of Unicode 3.2.
    """
    if password.isascii():
        return password
    mapped = "".join(
        " " if stringprep.in_table_c12(each) else each
        for each in password
        if stringprep.in_table_c12(each) or not stringprep.in_table_b1(each)
    )
    text = unicodedata.normalize("NFKC", mapped)
    return text if text and not any(map(_is_forbidden, text)) and _has_one_direction(text) else password


def _is_forbidden(each: str) -> bool:
    return any(table(each) for table in _FORBIDDEN)


def _has_one_direction(text: str) -> bool:
    """Whether no right-to-left character is there, or both ends are such and no left-to-right one is."""
    if not any(map(stringprep.in_table_d1, text)):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(map(stringprep.in_table_d2, text))


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
