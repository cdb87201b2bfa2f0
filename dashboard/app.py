"""The application: the API's routes, the page's files, and what guards them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from dashboard import (
    drivers,
    events,
    flink,
    health,
    incidents,
    kafka,
    outliers,
    posts,
    problems,
    security,
    series,
    trends,
    watchlist,
)
from dashboard.config import Config
from dashboard.events import Newsroom
from dashboard.security import API, Guard
from dashboard.services import Services

STATIC = Path(__file__).parent / "static"
VIEWS = ("/", "/keyword", "/trends", "/watchlist", "/pipeline")
"""Addresses of the page's views: the same file, whose script shows the view of the address."""

FIRST_ANSWER = f"{API}/incidents?state=open&order=score&limit=50"
"""What the first view asks for; a browser that is told fetches it while it still loads the view's script."""

_DESCRIPTION = """\
Unusual keywords on TikTok: incidents, the windows they are made of, the posts behind them, and how the system is.

Times are ISO 8601 in UTC. Post ids are texts. Lists come in pages: give `next_cursor` as `cursor` and leave the other
parameters as they are. Errors are problem documents (RFC 9457).
"""
_MODULES = (incidents, outliers, series, posts, drivers, trends, watchlist, events, health, flink, kafka, security)

_log = logging.getLogger(__name__)


class _PageFiles(StaticFiles):
    """The page's files; a browser asks each time whether its copy is still good."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response


def create_app(config: Config) -> FastAPI:
    """Build the application; connections are opened as requests come."""
    services = Services.of(config)
    newsroom = Newsroom(services.reader, config.poll_seconds, config.streams)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        newsroom.close()
        services.close()

    app = FastAPI(
        title="TikTok keyword anomalies",
        version="1.0.0",
        description=_DESCRIPTION,
        docs_url=None,  # FastAPI's own pages load scripts of foreign hosts
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
        lifespan=lifespan,
        middleware=[Middleware(Guard, config=config), Middleware(GZipMiddleware, minimum_size=1024)],
    )
    app.state.services = services
    app.state.newsroom = newsroom
    app.state.lag = kafka.LagMeter(partial(kafka.measure, config))
    problems.install(app)

    @app.exception_handler(Exception)
    def fault(request: Request, error: Exception) -> JSONResponse:
        _log.error("fault at %s", request.url.path, exc_info=error)
        detail = "The dashboard has a fault; its log has the details."
        return problems.response(request.url.path, 500, "fault", detail)

    api = APIRouter(prefix=API)
    for module in _MODULES:
        api.include_router(module.router)
    app.include_router(api)

    def page(request: Request) -> FileResponse:
        headers = {"Cache-Control": "no-cache"}
        if request.url.path == "/" and not request.url.query:
            headers["Link"] = f"<{FIRST_ANSWER}>; rel=preload; as=fetch; crossorigin=anonymous"
        return FileResponse(STATIC / "index.html", headers=headers)

    for view in VIEWS:
        app.add_api_route(view, page, include_in_schema=False, response_model=None)
    app.mount("/static", _PageFiles(directory=STATIC), name="static")
    return app
