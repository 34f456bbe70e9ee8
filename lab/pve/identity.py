"""Authentication: tickets, CSRF tokens, API tokens."""

import hashlib
import re
from types import MappingProxyType
from typing import Final

from lab.pve import access
from lab.pve.access import ROOT, Identity
from lab.pve.message import ApiError, Auth, Body, Json
from lab.pve.state import World

TICKET_LIFE_S: Final = 2 * 3600
UNAUTHORIZED_DELAY_S: Final = 3.0
CAPABILITIES: Final = MappingProxyType(
    {
        "vms": ("/vms", ("VM.", "Permissions.Modify")),
        "storage": ("/storage", ("Datastore.", "Permissions.Modify")),
        "nodes": ("/nodes", ("Sys.", "Permissions.Modify")),
        "access": ("/access", ("User.", "Group.", "Permissions.Modify")),
        "dc": ("/", ("Sys.Audit", "Sys.Modify", "SDN.")),
        "sdn": ("/sdn", ("SDN.", "Permissions.Modify")),
        "mapping": ("/mapping", ("Mapping.", "Permissions.Modify")),
    }
)
TOKEN_HEADER: Final = re.compile(
    r"PVEAPIToken=(?P<user>[^!\s]+@[\w.\-]+)!(?P<token>[\w.\-]+)=(?P<secret>\S+)"
)
TICKET: Final = re.compile(r"PVE:(?P<user>[^:]+):(?P<time>[0-9A-F]{8})::(?P<signature>\S+)")


def unauthorized(text: str, world: World, *, empty: bool = True) -> ApiError:
    """401 answers come 3 s late (pve-http-server, AnyEvent.pm)."""
    return ApiError(401, text, empty=empty, delay_s=world.seconds(UNAUTHORIZED_DELAY_S))


def authenticate(world: World, auth: Auth, method: str, now: float) -> Identity:
    """Return the caller of a request.

    Raises: ApiError 401 in the four shapes of proxmox.md 2.1.
    """
    if auth.authorization:
        return _token_owner(world, auth.authorization, now)
    if not auth.ticket:
        raise unauthorized("No ticket", world)
    user = ticket_owner(world, auth.ticket, now)
    if user is None:
        raise unauthorized("Authentication failed!", world)
    if method != "GET" and not _csrf_valid(world, user, auth.csrf):
        raise unauthorized("Permission denied - invalid csrf token", world)
    return Identity(user)


def _token_owner(world: World, header: str, now: float) -> Identity:
    found = TOKEN_HEADER.fullmatch(header)
    user = world.users.get(found["user"]) if found else None
    token = user.tokens.get(found["token"]) if found and user else None
    if found is None or token is None or token.value != found["secret"]:
        raise unauthorized("Authentication failed!", world)
    if token.expire and token.expire <= now:
        raise unauthorized("Authentication failed!", world)
    return Identity(found["user"], found["token"])


def _sign(world: World, *parts: str) -> str:
    return hashlib.sha256(":".join((str(world.seed), *parts)).encode()).hexdigest()


def ticket_for(world: World, user: str, now: float) -> str:
    stamp = f"{int(now):08X}"
    return f"PVE:{user}:{stamp}::{_sign(world, user, stamp)}"


def csrf_for(world: World, user: str, now: float) -> str:
    stamp = f"{int(now):08X}"
    return f"{stamp}:{_sign(world, 'csrf', user, stamp)}"


def _csrf_valid(world: World, user: str, text: str) -> bool:
    stamp, _, signature = text.partition(":")
    return signature == _sign(world, "csrf", user, stamp)


def ticket_owner(world: World, ticket: str, now: float) -> str | None:
    """Return the user of a ticket that is signed, known and younger than two hours."""
    found = TICKET.fullmatch(ticket)
    if found is None or found["signature"] != _sign(world, found["user"], found["time"]):
        return None
    age_s = now - int(found["time"], 16)
    known = found["user"] in world.users or found["user"] == ROOT
    return found["user"] if known and age_s < TICKET_LIFE_S else None


def capabilities(world: World, who: Identity) -> Body:
    """Return what the web interface shows or hides: privileges by top-level path."""
    found: dict[str, Json] = {}
    for name, (path, prefixes) in CAPABILITIES.items():
        held = access.privileges(world, who, path)
        found[name] = {privilege: 1 for privilege in sorted(held) if privilege.startswith(prefixes)}
    return found


def log_in(world: World, username: str, password: str, now: float) -> Body:
    """POST /access/ticket; a valid ticket renews itself as the password.

    Raises: ApiError 401.
    """
    user = world.users.get(username)
    by_ticket = ticket_owner(world, password, now) == username
    if user is None or not (by_ticket or (user.password and user.password == password)):
        raise unauthorized("authentication failure", world, empty=False)
    who = Identity(username)
    cluster: dict[str, Json] = {"clustername": world.name} if access.has(world, who, "/", "Sys.Audit") else {}
    return cluster | {
        "cap": capabilities(world, who),
        "ticket": ticket_for(world, username, now),
        "CSRFPreventionToken": csrf_for(world, username, now),
        "username": username,
    }
