"""A proxmoxer resource whose connection is pinned, or checked against a CA; made anew for each thread."""

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from proxmoxer.backends.https import Backend, JsonSerializer
from proxmoxer.core import ProxmoxResource
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from reconcilers.transports.http_body import json_of
from reconcilers.transports.proxmox_answer import BoundedPool

_TOKEN: Final = re.compile(
    r"(?P<user>[^\s:/!=]+@[A-Za-z][A-Za-z0-9._-]+)!(?P<name>[A-Za-z][A-Za-z0-9._-]+)=(?P<value>[0-9a-fA-F-]{36})"
)
_FINGERPRINT_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class Token:
    """An API token; its value is a secret and stays out of ``repr``."""

    user: str
    name: str
    value: str

    @classmethod
    def parse(cls, text: str) -> "Token":
        """Read ``user@realm!tokenid=UUID``; raise ValueError, without the secret, that says the form."""
        match = _TOKEN.fullmatch(text.strip())
        if match is None:
            raise ValueError("a token of the form user@realm!tokenid=UUID is needed")
        return cls(match["user"], match["name"], match["value"])

    @property
    def id(self) -> str:
        """The token's public name, ``user@realm!tokenid``."""
        return f"{self.user}!{self.name}"

    def __repr__(self) -> str:
        return f"Token({self.id})"


@dataclass(frozen=True, slots=True)
class Trust:
    """How a server proves itself: a SHA-256 *fingerprint*, a *ca_file*, or the system's authorities."""

    fingerprint: str | None = None
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        if self.fingerprint is not None and self.ca_file is not None:
            raise ValueError("either a fingerprint or a CA file, not both")
        digits = (self.fingerprint or "0" * _FINGERPRINT_DIGITS).replace(":", "")
        if not re.fullmatch(r"[0-9a-fA-F]{64}", digits):
            raise ValueError("a SHA-256 fingerprint is needed: 32 bytes as AA:BB:…")
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ValueError(f"there is no CA file {self.ca_file}")

    def context(self) -> ssl.SSLContext:
        """Return what all connections share; OSError if the CA file is none.

        urllib3 would make one for each connection, and read all of the system's authorities, for 16 ms.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.fingerprint is not None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE  # the pin replaces the chain of trust
        elif self.ca_file is not None:
            context.load_verify_locations(cafile=self.ca_file)
        else:
            # Not the default ones as they are: SSL_CERT_FILE of the environment would win over them.
            context.load_verify_locations(capath=ssl.get_default_verify_paths().openssl_capath)
        return context


class GarbledAnswerError(Exception):
    """A 2xx answer that is no Proxmox document; nothing may be concluded from it."""


class _Adapter(HTTPAdapter):
    """Checks the server's certificate by one context, or by a fingerprint before a byte is sent."""

    def __init__(self, trust: Trust, context: ssl.SSLContext) -> None:
        self._fingerprint = trust.fingerprint
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        fingerprint, context = self._fingerprint, self._context
        super().init_poolmanager(*args, assert_fingerprint=fingerprint, ssl_context=context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"https": BoundedPool}

    def cert_verify(self, *_: Any) -> None:
        """Add nobody to those whom the context trusts: requests would add its own list."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        answer = super().send(request, *args, **(kwargs | {"verify": self._fingerprint is None}))
        if "Content-Encoding" in answer.headers:
            # It was not asked for, and what it comes to is bounded by nothing.
            answer.close()
            raise requests.exceptions.ContentDecodingError("the answer is packed, which was not asked for")
        return answer


class _Serializer(JsonSerializer):  # type: ignore[misc]  # proxmoxer has no types
    """proxmoxer's own one answers a garbled 2xx with data, and drops the message of an error."""

    def loads(self, response: requests.Response) -> Any:
        try:
            found: Any = json_of(response.content)
            return found["data"]
        except (ValueError, KeyError, TypeError):
            raise GarbledAnswerError(f"status {response.status_code}, but no Proxmox document") from None

    def loads_errors(self, response: requests.Response) -> dict[str, Any]:
        try:
            document = json_of(response.content)
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One host of a cluster as one thread sees it."""

    resource: Any
    session: requests.Session


def connect(
    url: str, token: Token, trust: Trust, context: ssl.SSLContext, *, timeout_s: tuple[float, float]
) -> Endpoint:
    """Return a lazy connection to *url*; *timeout_s* are the socket's limits to connect and to read.

    *context* is that of *trust*.
    """
    backend = Backend(
        host=urlsplit(url).netloc,
        user=token.user,
        token_name=token.name,
        token_value=token.value,
        timeout=timeout_s,
    )
    session: requests.Session = backend.get_session()
    session.trust_env = False  # else REQUESTS_CA_BUNDLE, proxies and .netrc of the environment win
    session.max_redirects = 0
    session.headers["Accept-Encoding"] = "identity"
    session.mount("https://", _Adapter(trust, context))
    resource = ProxmoxResource(base_url=backend.get_base_url(), session=session, serializer=_Serializer())
    return Endpoint(resource, session)


def is_distrusted(error: requests.RequestException) -> bool:
    """Whether the server's certificate was refused."""
    causes = _causes(error)
    return any(
        isinstance(cause, ssl.SSLCertVerificationError) or "Fingerprints did not match" in str(cause)
        for cause in causes
    )


def is_unsent(error: requests.RequestException) -> bool:
    """Whether the connection did not even come about."""
    if isinstance(error, requests.ConnectTimeout) or is_distrusted(error):
        return True
    return any(isinstance(cause, (NewConnectionError, ConnectTimeoutError)) for cause in _causes(error))


def _causes(error: BaseException) -> list[BaseException]:
    """Return *error* and all that it wraps, as urllib3 and requests do: in ``args`` and in ``reason``."""
    found: list[BaseException] = []
    queue: list[object] = [error]
    while queue:
        cause = queue.pop()
        if isinstance(cause, BaseException) and cause not in found:
            found.append(cause)
            queue += [*cause.args, getattr(cause, "reason", None)]
    return found
