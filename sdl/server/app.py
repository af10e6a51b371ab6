"""The application: the guard, the routes, the page, and what errors become."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from sdl.errors import AccessError, JournalError, ProblemError, SdlError
from sdl.journal.envelope import software_version
from sdl.lab import WallClock
from sdl.server import models
from sdl.server.campaign_routes import campaign_routes
from sdl.server.guards import Guard, TooLargeError, known_hosts
from sdl.server.house import House, Missing
from sdl.server.lab_routes import TooManyLines, lab_routes
from sdl.server.metrics import metrics_routes
from sdl.server.routing import inventory
from sdl.server.stream import Newsroom
from sdl.server.task_routes import task_routes
from sdl.server.urgent import Busy

PAGE = Path(__file__).parent / "page"

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""The files that a page is made of; no other is sent."""

DESCRIPTION = (
    "A laboratory for many. Send Authorization: Bearer sdl_...; errors are application/problem+json. "
    "Each operation names the roles that may take it in x-sdl-roles."
)

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Missing, 404),
    (AccessError, 403),
    (TooManyLines, 429),
    (Busy, 503),
    (ProblemError, 422),
    (JournalError, 503),
    (SdlError, 409),
    (TimeoutError, 503),
)
"""What errors become, the first that fits."""

log = logging.getLogger("sdl.server")


def make_app(house: House) -> FastAPI:
    """Return the application of *house*, without its guard: see :func:`guarded`.

    Raises :class:`~sdl.errors.AccessError` where a route does not say who may take it.
    """
    newsroom = Newsroom(house)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        newsroom.open()
        yield
        await newsroom.close()

    app = FastAPI(
        title="sdl",
        version=software_version(),
        description=DESCRIPTION,
        openapi_url=None,  # a route with a guard, like all others
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.newsroom = newsroom
    watched = metrics_routes(house, newsroom)
    for routes in (lab_routes(house, newsroom), campaign_routes(house), task_routes(house), watched):
        app.router.routes.extend(routes.router.routes)  # as they are: an included router hides what it holds
    _serve_page(app)
    _describe(app)
    _explain(app)
    inventory(app)
    return app


def guarded(
    app: FastAPI, house: House, *, hosts: tuple[str, ...] = (), monotonic: Callable[[], float] | None = None
) -> ASGIApp:
    """Return *app* behind the guard, which answers under the names of this machine, of the laboratory, and *hosts*."""
    names = known_hosts((*house.laboratory.file.hosts, *hosts))
    return Guard(app, house.users, names, monotonic or WallClock().monotonic)


# --- the page ---------------------------------------------------------------------------------------------------------


def _serve_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def index() -> Response:
        return _file("index.html")

    @app.get("/page/{name}", include_in_schema=False)
    def page(name: str) -> Response:
        return _file(name)


def _file(name: str) -> Response:
    """Return a file of the page: one that lies in its folder, of a kind that a page is made of."""
    found = {path.name: path for path in PAGE.iterdir() if path.suffix in TYPES} if PAGE.is_dir() else {}
    if name not in found:
        raise Missing(f"there is no page {name!r}", hint="the API is at /api/v1")
    return FileResponse(found[name], media_type=TYPES[found[name].suffix])


# --- its description --------------------------------------------------------------------------------------------------


def _describe(app: FastAPI) -> None:
    """Name the problem and the token in the description of the API."""
    made = app.openapi

    @functools.cache
    def openapi() -> dict[str, object]:
        schema = made()
        parts = schema.setdefault("components", {})
        parts.setdefault("schemas", {})["Problem"] = models.Problem.model_json_schema()
        parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for operations in schema["paths"].values():
            for operation in operations.values():
                operation["security"] = [{"token": []}] if operation.get("x-sdl-roles") else []
        return schema

    app.openapi = openapi  # type: ignore[method-assign] # the way that FastAPI documents


# --- errors -----------------------------------------------------------------------------------------------------------


def _explain(app: FastAPI) -> None:
    for kind in (SdlError, TimeoutError):
        app.add_exception_handler(kind, _said)
    app.add_exception_handler(RequestValidationError, _wrong_shape)
    app.add_exception_handler(TooLargeError, _too_large)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(Exception, _unforeseen)


def problem(status: int, title: str, detail: str, hint: str = "", *errors: dict[str, str]) -> JSONResponse:
    """Return a problem as an answer."""
    found = models.Problem(title=title, status=status, detail=detail, hint=hint, errors=errors)
    return JSONResponse(found.model_dump(mode="json"), status, media_type="application/problem+json")


async def _said(_request: Request, error: Exception) -> Response:
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    if not isinstance(error, SdlError):
        hint = "the laboratory is busy: a planner thinks, or a disk is slow; ask again"
        return problem(status, "Busy", "it was not done in time", hint)
    answer = problem(status, type(error).__name__, error.message, error.hint)
    if isinstance(error, Busy):
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


async def _wrong_shape(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found: list[dict[str, str]] = []
    hint = ""
    for item in error.errors()[:20]:
        inner = item.get("ctx", {}).get("error")
        message = inner.message if isinstance(inner, SdlError) else str(item["msg"])
        hint = hint or (inner.hint if isinstance(inner, SdlError) else "")
        found.append({"where": ".".join(map(str, item["loc"])), "message": message})
    detail = "; ".join(f"{each['where']}: {each['message']}" for each in found)
    return problem(422, "ProblemError", detail or "the input is wrong", hint, *found)


async def _too_large(_request: Request, _error: Exception) -> Response:
    return problem(413, "TooLarge", "the request is too large")


async def _plain(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    hint = "see /api/v1/openapi.json" if error.status_code == 404 else ""
    answer = problem(error.status_code, "HTTPError", str(error.detail), hint)
    answer.headers.update(error.headers or {})
    return answer


async def _unforeseen(_request: Request, error: Exception) -> Response:
    log.error("an error that nobody foresaw", exc_info=error)
    return problem(500, type(error).__name__, "something went wrong that nobody foresaw", "the server's log says more")
