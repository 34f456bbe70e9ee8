"""The API's routes by which an operator moves releases, traffic and containers; on the UNIX socket only."""

from collections.abc import Mapping

from aiohttp import web

from crds.balancer import Override
from crds.freeze import Freeze
from daemon.web.answers import Json
from daemon.web.asked import Refusal, body_of, end_of, operator_of, reason_of
from daemon.web.console import Console
from daemon.web.wishes import LONGEST_OVERRIDE, VERBS, ReleaseWish, Wishes

_WHOLE = 100
_LARGEST_WEIGHT = 256


class WishRoutes:
    """Reads the requests; ``Wishes`` writes what they want, the console shows what came of it."""

    def __init__(self, wishes: Wishes, console: Console) -> None:
        self._wishes = wishes
        self._console = console

    def routes(self) -> tuple[web.RouteDef, ...]:
        """Return the routes."""
        return (
            web.post("/api/v1/release/{name}/{verb}", self._release),
            web.post("/api/v1/container/{name}/restart", self._restart),
            web.post("/api/v1/traffic", self._traffic),
            web.post("/api/v1/traffic/clear", self._clear_traffic),
            web.post("/api/v1/freeze", self._freeze),
            web.post("/api/v1/thaw", self._thaw),
        )

    async def _release(self, request: web.Request) -> web.Response:
        actor, body = operator_of(request), await body_of(request)
        verb = request.match_info["verb"]
        if verb not in VERBS:
            raise Refusal(400, "BadVerb", f"{verb!r} cannot be asked of a release", ", ".join(VERBS))
        wish = ReleaseWish(
            verb=verb,
            reason=reason_of(body),
            until=end_of(body, self._wishes.now()) if body.get("until") is not None else None,
            attempt=_attempt(body),
            force=_flag(body, "force"),
        )
        return web.json_response({"request": await self._wishes.ask(request.match_info["name"], wish, actor)})

    async def _restart(self, request: web.Request) -> web.Response:
        actor, reason = operator_of(request), reason_of(await body_of(request))
        number = await self._wishes.restart(request.match_info["name"], reason, actor)
        return web.json_response({"request": number})

    async def _traffic(self, request: web.Request) -> web.Response:
        actor, body = operator_of(request), await body_of(request)
        until = end_of(body, self._wishes.now())
        if until - self._wishes.now() > LONGEST_OVERRIDE:
            hours = LONGEST_OVERRIDE.total_seconds() / 3600
            raise Refusal(400, "BadTime", f"an override lasts {hours:g} h at most", "a release is for longer")
        blue, green = _weights(body)
        override = Override(blue=blue, green=green, until=until, reason=reason_of(body), actor=actor)
        return web.json_response(self._console.object(await self._wishes.override(_service(body), override)))

    async def _clear_traffic(self, request: web.Request) -> web.Response:
        actor, body = operator_of(request), await body_of(request)
        key = await self._wishes.clear_override(_service(body), reason_of(body), actor)
        return web.json_response(self._console.object(key))

    async def _freeze(self, request: web.Request) -> web.Response:
        actor, body = operator_of(request), await body_of(request)
        until = end_of(body, self._wishes.now())
        await self._wishes.freeze(Freeze(until=until, reason=reason_of(body), actor=actor))
        return web.json_response(self._console.status())

    async def _thaw(self, request: web.Request) -> web.Response:
        actor, body = operator_of(request), await body_of(request)
        await self._wishes.thaw(reason_of(body), actor)
        return web.json_response(self._console.status())


def _service(body: Mapping[str, Json]) -> str:
    service = body.get("service")
    if not isinstance(service, str):
        raise Refusal(400, "BadName", "`service` is missing", "the name of a Service")
    return service


def _weights(body: Mapping[str, Json]) -> tuple[int, int]:
    """Return both weights; one that is given alone is a percentage, and the other colour has the rest."""
    blue, green = _weight(body, "blue"), _weight(body, "green")
    if blue is not None and green is not None:
        return blue, green
    if blue is None and green is None:
        raise Refusal(
            400, "BadWeight", "neither `blue` nor `green` is given", "blue=100, or blue=90 green=10"
        )
    one = blue if blue is not None else green or 0
    if one > _WHOLE:
        raise Refusal(400, "BadWeight", f"{one} alone is no percentage", "give both weights, or 0 to 100")
    return (one, _WHOLE - one) if blue is not None else (_WHOLE - one, one)


def _weight(body: Mapping[str, Json], color: str) -> int | None:
    found = body.get(color)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= _LARGEST_WEIGHT:
        raise Refusal(400, "BadWeight", f"{color}: {found!r} is no weight", f"0 to {_LARGEST_WEIGHT}")
    return found


def _attempt(body: Mapping[str, Json]) -> int | None:
    found = body.get("attempt")
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise Refusal(400, "BadNumber", f"attempt: {found!r} is no number of an attempt")
    return found


def _flag(body: Mapping[str, Json], name: str) -> bool:
    found = body.get(name, False)
    if not isinstance(found, bool):
        raise Refusal(400, "BadFlag", f"{name}: {found!r} is neither true nor false")
    return found
