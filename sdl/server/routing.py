"""Routes that say who may take them. One that does not say is closed to everybody."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BeforeValidator, ValidationError

from sdl.errors import AccessError
from sdl.problem.value import Value, listing
from sdl.server.guards import IDENTITY
from sdl.server.identities import Identity, Role

ROLES = "x-sdl-roles"
"""Where the description of a route says who may take it."""

PAGE_PATHS = frozenset(("/", "/page/{name}"))
"""What is served without a guard: the files of the page, which hold no data."""

V = TypeVar("V", bound=Value)

Call = TypeVar("Call", bound=Callable[..., Any])


def identity(request: Request) -> Identity:
    """Return who asks: the guard has put it there."""
    found = request.scope.get(IDENTITY)
    if not isinstance(found, Identity):
        raise AccessError("nobody is known to ask")
    return found


async def _asks(request: Request) -> Identity:
    """Return who asks, without a thread: those may all be taken."""
    return identity(request)


Who = Annotated[Identity, Depends(_asks)]
"""Who asks."""


def json_of(kind: type[V]) -> BeforeValidator:
    """Return what reads a body as JSON is read elsewhere: strictly, and with what JSON has for dates and words."""

    def read(data: object) -> object:
        if isinstance(data, kind):
            return data
        try:
            return kind.model_validate_json(json.dumps(data))
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False)) from None

    return BeforeValidator(read)


class GuardedRoute(APIRoute):
    """A route that looks at the roles of whoever asks before anything else."""

    @property
    def roles(self) -> frozenset[Role] | None:
        """Who may take it; empty: everybody, known or not; None: nobody has said, and so nobody may."""
        named = (self.openapi_extra or {}).get(ROLES)
        return None if named is None else frozenset(map(Role, named))

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers."""
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            self._check(request)
            return await answer(request)

        return guarded

    def _check(self, request: Request) -> None:
        if self.roles is None:
            raise AccessError(f"{self.path} is open to nobody")
        if self.roles and not (who := identity(request)).may(self.roles):
            raise AccessError(
                f"{who.name} may not do that: it takes the role {listing(sorted(self.roles))}",
                hint=f"{who.name} has {listing(who.roles)}; sdl users gives roles",
            )


class Routes:
    """Collects the routes of one part of the API."""

    def __init__(self, tag: str) -> None:
        self.router = APIRouter(prefix="/api/v1", route_class=GuardedRoute, tags=[tag])

    def get(self, path: str, *roles: Role, **more: Any) -> Callable[[Call], Call]:
        """Add a route that looks."""
        return self._add("GET", path, roles, more)

    def post(self, path: str, *roles: Role, **more: Any) -> Callable[[Call], Call]:
        """Add a route that makes, or orders."""
        return self._add("POST", path, roles, more)

    def put(self, path: str, *roles: Role, **more: Any) -> Callable[[Call], Call]:
        """Add a route that says how something is from now on."""
        return self._add("PUT", path, roles, more)

    def delete(self, path: str, *roles: Role, **more: Any) -> Callable[[Call], Call]:
        """Add a route that takes away."""
        return self._add("DELETE", path, roles, more)

    def _add(self, method: str, path: str, roles: tuple[Role, ...], more: dict[str, Any]) -> Callable[[Call], Call]:
        def add(call: Call) -> Call:
            self.router.add_api_route(
                path,
                call,
                methods=[method],
                openapi_extra={ROLES: [role.value for role in roles]},
                operation_id=call.__name__,
                responses=_failures(method, is_public=not roles),
                **more,
            )
            return call

        return add


_WHY = {
    400: "a token stands in the address",
    401: "no token, or one that is nobody's",
    403: "the role does not allow it, or another site's page asks",
    404: "not there, or not visible to you",
    409: "not possible as things stand",
    413: "too large",
    415: "no JSON",
    421: "the server does not answer under that name",
    422: "the input is wrong",
    429: "too many requests",
    503: "the laboratory is busy, or runs nothing any more",
}


def _failures(method: str, *, is_public: bool) -> dict[int | str, dict[str, Any]]:
    codes = {400, 421, 429} if is_public else {400, 401, 403, 404, 409, 421, 422, 429, 503}
    codes |= {413, 415} if method != "GET" else set()
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": _WHY[code], "content": content} for code in sorted(codes)}


def inventory(app: FastAPI) -> list[tuple[str, str, tuple[Role, ...]]]:
    """Return every route of *app*: method, path, and who may take it, in the order of the paths.

    Raises :class:`~sdl.errors.AccessError` for a route of the API that does not say it.
    """
    found: list[tuple[str, str, tuple[Role, ...]]] = []
    for route in routes_of(app):
        if route.roles is None:
            raise AccessError(f"{route.path} does not say who may take it")
        order = list(Role)
        roles = tuple(sorted(route.roles, key=order.index))
        found += [(method, route.path, roles) for method in sorted(route.methods or ())]
    return sorted(found, key=lambda each: (each[1], each[0]))


def routes_of(app: FastAPI) -> list[GuardedRoute]:
    """Return the routes of the API. Raises :class:`~sdl.errors.AccessError` for one that no guard stands before."""
    found: list[GuardedRoute] = []
    for route in app.routes:
        path = getattr(route, "path", None)
        if isinstance(route, GuardedRoute):
            found.append(route)
        elif path not in PAGE_PATHS:
            raise AccessError(f"{path or type(route).__name__} has no guard")
    return found
