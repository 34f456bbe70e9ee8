"""Compares a password with RabbitMQ's salted hash of it. Pure."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Final

from reconcilers.contract import Secret
from reconcilers.rabbitmq.model import Account

_SALT: Final = 4
#: By ``hashing_algorithm``; the broker's documentation, "Passwords".
_DIGESTS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "rabbit_password_hashing_sha256": lambda data: hashlib.sha256(data).digest(),
    "rabbit_password_hashing_sha512": lambda data: hashlib.sha512(data).digest(),
    "rabbit_password_hashing_md5": lambda data: hashlib.md5(data, usedforsecurity=False).digest(),
}


def is_password(account: Account, password: Secret) -> bool:
    """Whether *password* is the account's, hashed with its salt: the broker takes a new one at each change.

    An account without a password, or with an algorithm that is not known here, has another one.
    """
    digest = _DIGESTS.get(account.algorithm)
    try:
        stored = base64.b64decode(account.hash, validate=True)
    except binascii.Error:
        return False
    if digest is None or len(stored) <= _SALT:
        return False
    salt = stored[:_SALT]
    return hmac.compare_digest(salt + digest(salt + password.value.encode()), stored)
