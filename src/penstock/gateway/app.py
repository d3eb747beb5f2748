"""The ASGI app: the publish door first and bare, all the others behind Starlette's routing."""

from __future__ import annotations

from html import escape

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route as StarletteRoute
from starlette.routing import compile_path

from ..declare.plan import Plan
from ..errors import PenstockError
from . import pages
from .docs.openapi import document
from .docs.page import HOST, page
from .docs.samples import Samples
from .doors.publish import Publish
from .hosts import check_host
from .routes import ROUTES, Route
from .services import GatewayServices
from .wait.followers import Followers
from .wire.asgi import Receive, Scope, Send, answer
from .wire.errors import Disconnected, error_body, problem

PREFIX, SUFFIX = "/topics/", "/events"
PATTERNS = [(route, compile_path(route.path)[0]) for route in ROUTES]


class Gateway:
    """``hosts``: the names that a request may call us by (DNS rebinding); None: any."""

    def __init__(self, services: GatewayServices, *, loopback_only: bool = True) -> None:
        self._rooms = services
        self._loopback_only = loopback_only
        self._followers = Followers(services)
        self._publish = Publish(services, self._followers)
        self._rest = Starlette(routes=[*(_routed(r, services) for r in ROUTES if r.handler), *_pages(services.plan)])
        self._rest.router.redirect_slashes = False  # it names an address that a proxy's clients cannot reach
        self._rest.add_exception_handler(HTTPException, _unrouted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # neither lifespan nor WebSocket
        try:
            self._admit(scope)
        except PenstockError as error:
            await answer(scope, send, *problem(error, scope["path"]))
            return
        path: str = scope["path"]
        if scope["method"] == "POST" and path.startswith(PREFIX) and path.endswith(SUFFIX):
            topic = path[len(PREFIX) : -len(SUFFIX)]
            if "/" not in topic:
                await self._publish(scope, receive, send, topic)
                return
        await self._rest(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        """What holds at every door. Raises ``BadRequest``, ``Forbidden``, ``UnsupportedMediaType``."""
        check_host(scope["http_version"], scope["headers"], loopback_only=self._loopback_only)
        pages.check(scope["method"], scope["headers"])

    def hurry(self) -> None:
        """The time to drain runs out: who waits for what becomes of events is answered with what there is."""
        self._followers.hurry()
        self._rooms.arrivals.hurry()

    async def close(self) -> None:
        """After the last request: answer what is pending, then let go of the readers."""
        self._followers.close()
        await self._rooms.ingest.close()
        self._rooms.close()


def _routed(route: Route, services: GatewayServices) -> StarletteRoute:
    handler = route.handler
    assert handler is not None

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request, services)
        except (Disconnected, ClientDisconnect):
            return Response(status_code=499)  # nobody is there to read it
        except Exception as error:
            status, headers, body = problem(error, request.scope["path"])
            return Response(body, status, {k.decode(): v.decode() for k, v in headers})

    return StarletteRoute(route.path, endpoint, methods=[route.method])


def _pages(plan: Plan) -> list[StarletteRoute]:
    samples = Samples(plan)
    described, html = document(ROUTES, plan.app, samples), page(ROUTES, plan, samples)

    async def openapi(_: Request) -> Response:
        return JSONResponse(described)

    async def docs(request: Request) -> Response:
        return HTMLResponse(html.replace(HOST, escape(request.url.netloc)))

    return [StarletteRoute("/openapi.json", openapi), StarletteRoute("/docs", docs), StarletteRoute("/", docs)]


async def _unrouted(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
    message = f"{request.method} {request.url.path[:200]}: {error.detail}; /docs lists what there is"
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["allow"] = ", ".join(_allowed(request.url.path))
    body = error_body({"code": code, "message": message}, request.scope["path"])
    return Response(body, error.status_code, headers, media_type="application/json")


def _allowed(path: str) -> list[str]:
    """Every method of a path (RFC 9110 §10.2.1): those of one path are several doors."""
    methods = {route.method for route, pattern in PATTERNS if pattern.match(path)} or {"GET"}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))
