"""The ASGI app: who asks, then the bare doors, then all the others behind Starlette's routing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from html import escape

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route as StarletteRoute
from starlette.routing import compile_path

from ..access.rights import Verb
from ..errors import PenstockError, Unauthorized
from ..plan.plan import Plan
from . import principal
from .auditing import CHANGES, is_told, note, written
from .docs.openapi import document
from .docs.page import HOST, page
from .docs.samples import Samples
from .principal import ANYBODY, NOT_ADMITTED, PRINCIPAL, Admission, Principal, principal_of
from .routes import ROUTES, BareDoor, Handler, Route
from .services import GatewayServices
from .tls.client_names import client_name
from .wire.asgi import Receive, Scope, Send, answer
from .wire.errors import CODE, Disconnected, error_body, of_open_inference, problem


@dataclass(frozen=True, slots=True)
class BareRoute:
    """A bare door, and what is before and behind the parameters of its path. ``on``: what its verb is done to, which
    has them all in their order; empty: the door looks who may do what, as it does for ``domains``."""

    method: str
    before: str
    behind: str
    between: str
    on: str
    door: BareDoor
    verb: Verb
    domains: Collection[str]

    @classmethod
    def of(cls, route: Route, door: BareDoor, domains: Collection[str]) -> BareRoute:
        before, first, *rest = re.split(r"\{(\w+)\}", route.path)
        between = rest[0] if len(rest) == 3 else ""
        names = [first, *rest[1:-1]]
        assert len(rest) in (1, 3) and re.findall(r"\{(\w+)\}", route.on) in (names, [])
        on = re.sub(r"\{\w+\}", "{}", route.on)
        own = domains if route.looks_into_domains else ()
        return cls(route.method, before, rest[-1], between, on, door, route.verb, own)

    def parameters(self, method: str, path: str) -> Sequence[str]:
        """Empty: this is another door's."""
        if method != self.method or not path.startswith(self.before) or not path.endswith(self.behind):
            return ()
        found = path[len(self.before) : -len(self.behind)]
        parts = found.split(self.between) if self.between else (found,)
        if len(parts) != 1 + bool(self.between) or any("/" in part or not part for part in parts):
            return ()
        return parts


class Gateway:
    """``routes``: the doors. ``admit``: says who asks, before a request is routed; None: the user of this machine."""

    def __init__(
        self, services: GatewayServices, routes: Sequence[Route] = ROUTES, admit: Admission | None = None
    ) -> None:
        self._services, self._admit = services, admit or principal.admit_local
        self._open = [compile_path(route.path)[0] for route in routes if is_open(route)]
        self._bare = [
            BareRoute.of(r, r.door(services), services.plan.domains) for r in routes if isinstance(r.door, type)
        ]
        routed = [_routed(r, r.door, services) for r in routes if not isinstance(r.door, type)]
        self._rest = Starlette(routes=[*routed, *_pages(routes, services.plan)])
        self._rest.router.redirect_slashes = False  # it names an address that a proxy's clients cannot reach
        self._rest.add_exception_handler(HTTPException, _unrouted(routes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # neither lifespan nor WebSocket
        path: str = scope["path"]
        try:
            admitted = self._admit(scope)
            scope[PRINCIPAL] = who = admitted if isinstance(admitted, Principal) else await admitted
            if who is ANYBODY and not any(pattern.match(path) for pattern in self._open):
                raise Unauthorized(NOT_ADMITTED, _nobody(scope))
            for bare in self._bare:
                if parameters := bare.parameters(scope["method"], path):
                    if bare.on and parameters[0] not in bare.domains:
                        who.require(bare.verb, bare.on.format(*parameters))
                    break
            else:
                bare = None
        except PenstockError as error:
            status, headers, body = problem(error, path)
            note(self._services.audit, scope, status, error)
            await answer(scope, send, status, headers, body)
            return
        if bare is not None:
            await bare.door(scope, receive, send, *parameters)
        else:
            await self._rest(scope, receive, send)

    def hurry(self) -> None:
        """The time to drain runs out: who waits for what becomes of events is answered with what there is."""
        self._services.followers.hurry()
        self._services.arrivals.hurry()

    async def close(self) -> None:
        """After the last request: answer what is pending, then let go of the readers."""
        self._services.followers.close()
        await self._services.ingest.close()
        self._services.close()


def is_open(route: Route) -> bool:
    """To anybody, whatever he shows."""
    return ANYBODY.may(route.verb, route.on)


def _nobody(scope: Scope) -> str:
    """Why who asks is anybody, for the audit: whoever manages the keys needs the name as it is written here."""
    subject = client_name(scope)
    return "nothing was shown" if subject is None else f"no key that is live is for the certificate {subject:.512}"


def _routed(route: Route, handler: Handler, services: GatewayServices) -> StarletteRoute:
    async def endpoint(request: Request) -> Response:
        wrong: Exception | None = None
        try:
            if route.on and not is_open(route):
                principal_of(request.scope).require(route.verb, route.on.format(**request.path_params))
            response = await handler(request, services)
        except (Disconnected, ClientDisconnect):
            response = Response(status_code=499)  # nobody is there to read it
        except Exception as error:
            status, headers, body = problem(error, request.scope["path"])
            wrong = error
            response = Response(body, status, {k.decode(): v.decode() for k, v in headers})
        if services.audit is not None and is_told(route.verb, request.scope, response.status_code):
            note(services.audit, request.scope, response.status_code, wrong)
            if route.verb in CHANGES:  # what was changed is told of before the answer says so
                await asyncio.get_running_loop().run_in_executor(services.threads, written, services.audit)
        return response

    return StarletteRoute(route.path, endpoint, methods=[route.method])


def _pages(routes: Sequence[Route], plan: Plan) -> list[StarletteRoute]:
    samples = Samples(plan)
    described, html = document(routes, plan.app, samples), page(routes, plan, samples)

    async def openapi(_: Request) -> Response:
        return JSONResponse(described)

    async def docs(request: Request) -> Response:
        secure = "https://" if request.url.scheme == "https" else ""
        return HTMLResponse(html.replace(HOST, escape(secure + request.url.netloc)))

    return [StarletteRoute("/openapi.json", openapi), StarletteRoute("/docs", docs), StarletteRoute("/", docs)]


def _unrouted(routes: Sequence[Route]) -> Callable[[Request, Exception], Awaitable[Response]]:
    patterns = [(route, compile_path(route.path)[0]) for route in routes]

    def allowed(path: str) -> list[str]:
        """Every method of a path (RFC 9110 §10.2.1): those of one path are several doors. None: there is none."""
        methods = {route.method for route, pattern in patterns if pattern.match(path)}
        return sorted(methods | ({"HEAD"} if "GET" in methods else set()))

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status, detail, methods = error.status_code, error.detail, allowed(request.url.path)
        if status == 404 and methods:  # a bare door's path, which the router does not know
            status, detail = 405, "Method Not Allowed"
        code = {404: "not_found", 405: "method_not_allowed"}.get(status, "bad_request")
        message = f"{request.method} {request.url.path[:200]}: {detail}; /docs lists what there is"
        headers = dict(error.headers or {})
        if status == 405:
            headers["allow"] = ", ".join(methods or ["GET", "HEAD"])  # the pages', which are no rows of the table
        if of_open_inference(request.scope["path"]):
            headers[CODE.decode()] = code
        body = error_body(status, {"code": code, "message": message}, request.scope["path"])
        return Response(body, status, headers, media_type="application/json")

    return unrouted
