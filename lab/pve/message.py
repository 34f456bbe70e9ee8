"""What goes into the simulator and what comes out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Body: TypeAlias = Mapping[str, Json]
ParamValue: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Auth:
    """Credentials of one request, as the HTTP headers carry them; all empty means anonymous.

    *authorization* is the whole header value (``PVEAPIToken=user@realm!name=secret``),
    *ticket* the PVEAuthCookie and *csrf* the CSRFPreventionToken header.
    """

    authorization: str = ""
    ticket: str = ""
    csrf: str = ""


ANONYMOUS = Auth()


@dataclass(frozen=True, slots=True)
class Request:
    """One API request.

    *path* starts below ``/api2/json`` (``/nodes/pve1/lxc``). A Python bool in *params* stands for a JSON
    boolean, which Proxmox takes as 0 or 1; the text ``True`` of a form is refused, as in production.
    *via_node* is the node whose pveproxy took the request, by default the first one.
    """

    method: str
    path: str
    params: Mapping[str, ParamValue] = field(default_factory=dict)
    auth: Auth = ANONYMOUS
    via_node: str = ""


class Outcome(Enum):
    """What the client's socket sees."""

    ANSWERED = "answered"
    REFUSED = "refused"  # nobody listens on the node's port
    LOST = "lost"  # the connection is closed without an answer


@dataclass(frozen=True, slots=True)
class Response:
    """One answer.

    *body* is the JSON document, ``None`` an empty body. *delay_s* is how long the client waits for it;
    the state has changed already when `handle` returns. *raw* replaces the body by text that is not JSON.
    """

    status: int
    reason: str
    body: Body | None
    delay_s: float = 0.0
    outcome: Outcome = Outcome.ANSWERED
    raw: str = ""

    @property
    def data(self) -> Json:
        """The ``data`` member, ``None`` where the body is empty."""
        return None if self.body is None else self.body.get("data")


class ApiError(Exception):
    """An answer with a status of 400 or more, raised anywhere below `PveCluster.handle`."""

    def __init__(
        self,
        status: int,
        text: str,
        *,
        errors: Mapping[str, str] | None = None,
        empty: bool = False,
        delay_s: float = 0.0,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.errors = errors
        self.empty = empty
        self.delay_s = delay_s

    def response(self) -> Response:
        """Split the text: its first line is the reason phrase, all of it the ``message``."""
        reason = self.text.partition("\n")[0]
        if self.empty:
            return Response(self.status, reason, None, self.delay_s)
        # texts of `die` end in a newline, the ones pveproxy makes itself do not
        message = self.text if self.status == 501 else self.text + "\n"  # noqa: PLR2004
        body: dict[str, Json] = {"data": None, "message": message}
        if self.errors is not None:
            body["errors"] = dict(self.errors)
        return Response(self.status, reason, body, self.delay_s)


def died(text: str) -> ApiError:
    """Proxmox's answer to almost everything that goes wrong: status 500 and the text."""
    return ApiError(500, text)


def refused_parameters(errors: Mapping[str, str]) -> ApiError:
    return ApiError(400, "Parameter verification failed.", errors=errors)


def forbidden(detail: str = "") -> ApiError:
    return ApiError(403, f"Permission check failed ({detail})" if detail else "Permission check failed")
