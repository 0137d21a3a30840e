"""What people and probes look at: health, version, metrics and the description of the API."""

import html
import os
import time
from collections.abc import Awaitable, Callable
from functools import cache
from http import HTTPStatus
from importlib import resources
from importlib.metadata import version
from typing import Any

import orjson
import swagger_ui_bundle

from marvel_kedro.serving.configuration import ServingConfiguration
from marvel_kedro.serving.http.access_log import AccessLog, moment
from marvel_kedro.serving.http.auth import Tokens
from marvel_kedro.serving.http.errors import Refusal, own_fault
from marvel_kedro.serving.http.openapi import describe
from marvel_kedro.serving.http.protocol import refuse
from marvel_kedro.serving.inference_table.spool import lag_seconds
from marvel_kedro.serving.models.served_entities import Entities
from marvel_kedro.serving.state_folder import SPOOL
from marvel_kedro.serving.telemetry import metrics
from marvel_kedro.serving.telemetry.external_metrics import MetricsText
from marvel_kedro.serving.telemetry.opentelemetry import trace_of

Message = dict[str, Any]

OPEN_PATHS = ("/", "/ping", "/health", "/docs", "/openapi.json")
"""What is answered without a token: probes have none, and the description is no secret."""

# What machines ask every few seconds, and the answers that they expect: a line for each would bury
# all others.
_ASKED_BY_MACHINES = ("/ping", "/health", "/metrics")
_EXPECTED = (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)

_LONGEST_PATH = 200  # characters that are repeated

_JSON = b"application/json"
_HTML = b"text/html; charset=utf-8"
_ASSETS = {"swagger-ui.css": b"text/css", "swagger-ui-bundle.js": b"text/javascript"}


class Pages:
    """Everything but invocations."""

    def __init__(
        self, description: ServingConfiguration, entities: Entities, tokens: Tokens, log: AccessLog
    ) -> None:
        self._log = log
        self._name = description.endpoint.name
        self._workers = description.server.workers
        self._were_all_ready = self._workers == 1
        self._entities = entities
        self._tokens = tokens
        self._spool = (
            description.server.folder / SPOOL
            if description.endpoint.inference_table.enabled
            else None
        )
        self._monitoring = MetricsText(description.server.monitoring_metrics)
        self._pages: dict[str, Callable[[], tuple[int, bytes, bytes]]] = {
            "/": lambda: (HTTPStatus.OK, _HTML, _docs_page(self._name)),
            "/docs": lambda: (HTTPStatus.OK, _HTML, _docs_page(self._name)),
            "/openapi.json": self._openapi,
            "/ping": self._ping,
            "/health": self._health,
            "/version": self._version,
            "/metrics": self._metrics,
        } | {f"/docs/{name}": lambda name=name: _asset(name) for name in _ASSETS}

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],  # noqa: ARG002 - no page takes a body
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        began, started, request_id = time.time(), time.perf_counter(), os.urandom(16).hex()
        asked = dict(scope["headers"])
        headers: tuple[tuple[bytes, bytes], ...] = ()
        try:
            status, kind, body = self._find(scope, asked.get(b"authorization"))
        except Refusal as refusal:
            status, kind = refusal.status, _JSON
            body, headers = refuse(refusal.code, refusal.message), refusal.headers
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            said = {"time": moment(began), "level": "error", "request_id": request_id}
            self._log.line(**said, fault=repr(error)[:1000])
            fault = own_fault(request_id)
            status, kind, body = fault.status, _JSON, refuse(fault.code, fault.message)
        sent = [
            (b"content-type", kind),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", request_id.encode()),
            *headers,
        ]
        await send({"type": "http.response.start", "status": status, "headers": sent})
        body = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": body})
        path = scope["path"]
        label = path if path in self._pages else "other"  # anybody may make up paths
        metrics.PAGES.labels(label, str(int(status))).inc()
        if path in _ASKED_BY_MACHINES and status in _EXPECTED:
            return
        self._log.line(
            time=moment(began),
            level="info" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "error",
            request_id=request_id,
            trace_id=trace_of(asked.get(b"traceparent"), request_id),
            method=scope["method"],
            path=path[:_LONGEST_PATH],
            status=int(status),
            duration_ms=round((time.perf_counter() - started) * 1000, 3),
        )

    def _find(self, scope: Message, authorization: bytes | None) -> tuple[int, bytes, bytes]:
        path = scope["path"]
        if path not in OPEN_PATHS and not path.startswith("/docs/"):
            self._tokens.requester(authorization)
        page = self._pages.get(path)
        if page is None:
            raise self._not_found(path)
        if scope["method"] not in ("GET", "HEAD"):
            raise Refusal(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "BAD_REQUEST",
                f"{path} answers GET.",
                ((b"allow", b"GET, HEAD"),),
            )
        return page()

    def _not_found(self, path: str) -> Refusal:
        """No such page, or no such endpoint."""
        shown = path[:_LONGEST_PATH]
        if path.startswith("/serving-endpoints/"):
            return Refusal(
                HTTPStatus.NOT_FOUND,
                "ENDPOINT_NOT_FOUND",
                f"{shown}: there is no such endpoint; this server has {self._name}.",
            )
        return Refusal(
            HTTPStatus.NOT_FOUND,
            "ENDPOINT_NOT_FOUND",
            f"{shown}: nothing is here; /docs lists what is.",
        )

    def _metrics(self) -> tuple[int, bytes, bytes]:
        """What the server counts, and what monitoring has found."""
        if self._spool:  # looked at here: who moves it to the table may hang
            metrics.LAG.set(lag_seconds(self._spool))
        return HTTPStatus.OK, metrics.CONTENT_TYPE, metrics.page() + self._monitoring.read()

    def _ping(self) -> tuple[int, bytes, bytes]:
        return HTTPStatus.OK, _JSON, b"{}"

    def _health(self) -> tuple[int, bytes, bytes]:
        """Ready only with a model, and for the first time only if all workers have one."""
        ready, faults = self._entities.ready, self._entities.why_not()
        if ready and not self._were_all_ready:
            number = int(metrics.ready_workers())
            # Who takes the place of another has a model before it lets anybody in.
            ready = self._were_all_ready = number >= self._workers
            if not ready:
                faults = f"{number} of {self._workers} workers have a model. {faults}".strip()
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return status, _JSON, orjson.dumps({"ready": ready, "faults": faults})

    def _version(self) -> tuple[int, bytes, bytes]:
        """What is served, in the words of the description."""
        fields = {
            "marvel_kedro": version("marvel_kedro"),
            "endpoint": self._name,
            "served_entities": [
                {
                    "name": served.name,
                    "entity_name": served.model,
                    "entity_version": served.version,
                    "served_entity_id": served.id,
                }
                for served in self._entities.served
            ],
            "traffic": self._entities.traffic,
            "faults": self._entities.why_not(),
        }
        return HTTPStatus.OK, _JSON, orjson.dumps(fields)

    def _openapi(self) -> tuple[int, bytes, bytes]:
        served = self._entities.served
        schema = served[0].loaded.schema if served else {}
        described = describe(self._name, schema, with_tokens=bool(self._tokens.digests))
        return HTTPStatus.OK, _JSON, orjson.dumps(described)


@cache
def _asset(name: str) -> tuple[int, bytes, bytes]:
    folder = resources.files(swagger_ui_bundle) / "vendor" / "swagger-ui-4.15.5"
    return HTTPStatus.OK, _ASSETS[name], (folder / name).read_bytes()


@cache
def _docs_page(name: str) -> bytes:
    """Swagger UI from this server: nothing is fetched from elsewhere."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(name)}</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({{
  url: "openapi.json", dom_id: "#page", deepLinking: true, tryItOutEnabled: true,
  defaultModelsExpandDepth: -1
}});
</script>
</body>
</html>
""".encode()
