"""Pages for people and probes: health, version, metrics and the description of the API."""

import asyncio
import html
import os
import time
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send
from swagger_ui_bundle import swagger_ui_path

from marvel_kedro.serving.configuration import ServingConfiguration
from marvel_kedro.serving.http.access_log import AccessLog
from marvel_kedro.serving.http.auth import Tokens
from marvel_kedro.serving.http.errors import RequestError, internal_error, server_stops
from marvel_kedro.serving.http.openapi import describe
from marvel_kedro.serving.inference_table.spool import lag_seconds
from marvel_kedro.serving.models.served_entities import Entities
from marvel_kedro.serving.telemetry import metric_files, metrics
from marvel_kedro.serving.telemetry.external_metrics import ExternalMetrics
from marvel_kedro.serving.telemetry.opentelemetry import trace_id

if TYPE_CHECKING:
    from marvel_kedro.serving.models.loaded_model import Interface

OPEN_PATHS = ("/", "/ping", "/health", "/docs", "/openapi.json")
"""Paths that need no token: probes have none, and the description of the API is public."""

# Probes and scrapers request these every few seconds: a line for each expected answer would hide
# all other lines.
_PROBED_PATHS = ("/ping", "/health", "/metrics")
_EXPECTED = (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)

# Not /docs/, whose links are relative.
_WITH_SLASH = {f"{path}/": path for path in ("/ping", "/health", "/version", "/metrics")}

_MAX_PATH_CHARACTERS = 200  # of a path in messages and log lines

_ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


class Pages:
    """The application for every path but the invocations."""

    def __init__(
        self,
        configuration: ServingConfiguration,
        entities: Entities,
        tokens: Tokens,
        log: AccessLog,
    ) -> None:
        self._log = log
        self._name = configuration.endpoint.name
        self._table = configuration.table
        self._described: tuple[Interface | None, dict[str, Any]] | None = None
        self._workers = configuration.server.workers
        self._were_all_ready = self._workers == 1
        self._entities = entities
        self._tokens = tokens
        has_table = configuration.endpoint.inference_table.enabled
        self._spool = configuration.server.spool if has_table else None
        self._monitoring = ExternalMetrics(configuration.server.monitoring_metrics)
        routes = [
            Route("/", self._docs),
            Route("/docs", self._docs),
            *(Route(f"/docs/{name}", _asset) for name in _ASSETS),
            Route("/openapi.json", self._openapi),
            Route("/ping", _ping),
            Route("/health", self._health),
            Route("/version", self._version),
            Route("/metrics", self._metrics),
        ]
        self._paths = frozenset(route.path for route in routes)
        self._router = Router(routes, redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, count and log one request."""
        received, started, request_id = time.time(), time.perf_counter(), os.urandom(16).hex()
        method, headers = scope["method"], dict(scope["headers"])
        path: str = _WITH_SLASH.get(scope["path"]) or scope["path"]
        label = path if path in self._paths else "other"  # clients choose paths: no label for each
        status = 0

        async def send_page(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                metrics.PAGES.labels(label, str(status)).inc()
                MutableHeaders(scope=message)["x-request-id"] = request_id
            elif method == "HEAD":
                message["body"] = b""
            await send(message)

        try:
            await self._route({**scope, "path": path}, receive, send_page)
        except (Exception, asyncio.CancelledError) as raised:
            if status:
                raise
            response = self._reject(raised, path, request_id, received)
            await response(scope, receive, send_page)
        if path in _PROBED_PATHS and status in _EXPECTED:
            return
        self._log.line(
            time=datetime.fromtimestamp(received, UTC),
            level="info" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "error",
            request_id=request_id,
            trace_id=trace_id(headers.get(b"traceparent"), request_id),
            method=method,
            path=path[:_MAX_PATH_CHARACTERS],
            status=status,
            duration_ms=round((time.perf_counter() - started) * 1000, 3),
        )

    def _reject(
        self, raised: BaseException, path: str, request_id: str, received: float
    ) -> Response:
        """Build the answer; a caller that kept the error would be kept by its traceback."""
        error = _as_request_error(raised, path, request_id)
        if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            fault = {"request_id": request_id, "fault": repr(raised)[:1000]}
            self._log.line(time=datetime.fromtimestamp(received, UTC), level="error", **fault)
        response = Response(error.body, error.status, media_type="application/json")
        response.raw_headers += error.headers
        return response

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path not in OPEN_PATHS and not path.startswith("/docs/"):
            self._tokens.requester(dict(scope["headers"]).get(b"authorization"))
        if path not in self._paths:  # Starlette's routes would accept a line feed at the end
            message = "no such page; /docs lists the pages."
            if path.startswith("/serving-endpoints/"):
                message = f"there is no such endpoint; this server has {self._name}."
            message = f"{path[:_MAX_PATH_CHARACTERS]}: {message}"
            raise RequestError(HTTPStatus.NOT_FOUND, "ENDPOINT_NOT_FOUND", message)
        # With an app in its scope the router raises an exception for a wrong method.
        await self._router({**scope, "app": self}, receive, send)

    async def _docs(self, _: Request) -> Response:
        template = Template(_read(Path(__file__).with_name("docs.html")).decode())
        return HTMLResponse(template.substitute(endpoint=html.escape(self._name)))

    def _openapi(self, _: Request) -> Response:
        # Not async: Starlette calls it in a thread, so that other requests do not wait.
        served = self._entities.served
        model = served[0].loaded.interface if served else None
        described = self._described
        if described is None or described[0] is not model:
            with_tokens = bool(self._tokens.digests)
            content = describe(self._name, self._table, model, with_tokens=with_tokens)
            described = self._described = model, content
        return JSONResponse(described[1])

    async def _health(self, _: Request) -> Response:
        """Report ready if this worker has a model; at first only if all workers have one."""
        ready, faults = self._entities.ready, self._entities.why_not()
        if ready and not self._were_all_ready:
            number = int(metrics.ready_workers())
            # A worker that replaces another one loads its model before it accepts requests.
            ready = metric_files.were_all_ready(now=number >= self._workers)
            self._were_all_ready = ready
            if not ready:
                faults = f"{number} of {self._workers} workers have a model. {faults}".strip()
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"ready": ready, "faults": faults}, status)

    async def _version(self, _: Request) -> Response:
        """List the served versions, in the terms of the configuration."""
        served_entities = [
            {
                "name": served.name,
                "entity_name": served.model,
                "entity_version": served.version,
                "served_entity_id": served.id,
            }
            for served in self._entities.served
        ]
        content: dict[str, Any] = {
            "mlflow": version("mlflow"),  # all that MLflow's own server answers here
            "marvel_kedro": version("marvel_kedro"),
            "endpoint": self._name,
            "served_entities": served_entities,
            "traffic": self._entities.traffic,
            "faults": self._entities.why_not(),
        }
        return JSONResponse(content)

    async def _metrics(self, _: Request) -> Response:
        """Return the server's metrics and those of monitoring."""
        if self._spool:  # measured here: the process that empties the spool may hang
            metrics.LAG.set(lag_seconds(self._spool))
        page = metrics.page() + self._monitoring.read()
        return Response(page, media_type=metrics.CONTENT_TYPE)


def _as_request_error(raised: BaseException, path: str, request_id: str) -> RequestError:
    if isinstance(raised, RequestError):
        return raised
    if isinstance(raised, asyncio.CancelledError):
        return server_stops()
    if isinstance(raised, HTTPException):
        allow = ((b"allow", b"GET, HEAD"),)
        return RequestError(raised.status_code, "BAD_REQUEST", f"{path} answers GET.", allow)
    return internal_error(request_id)


async def _ping(_: Request) -> Response:
    return JSONResponse({})


async def _asset(request: Request) -> Response:
    name = request.scope["path"].rpartition("/")[2]
    return Response(_read(swagger_ui_path / name), media_type=_ASSETS[name])


@cache
def _read(path: Path) -> bytes:
    return path.read_bytes()
