"""MLflow tracking as the tracking address `databricks` calls it.

MLflow's own server application answers behind the workspace's door, on an SQLite file: the same
calls, so nothing is imitated but what a workspace has otherwise. That is, as MLflow 3.17's client
takes it and not verified against a real workspace: names of experiments are absolute paths, and
the files at `dbfs:/databricks/mlflow-tracking`, where artefacts are, go through the Files API.
"""

import re
from typing import Any

from support.workspace.server import ApiError, Reply, Request, Route

ARTIFACTS = "dbfs:/databricks/mlflow-tracking"


class Tracking:
    """Experiments, runs and logged models."""

    def __init__(self, store_uri: str) -> None:
        from mlflow.server import app, handlers
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        self._handlers: Any = handlers
        store: Any = SqlAlchemyStore  # which has no types
        self._store = store(store_uri, ARTIFACTS)
        self._client = app.test_client()

    def routes(self) -> list[Route]:
        return [
            ("POST", "/api/2.0/mlflow/experiments/create", self.create_experiment),
            ("*", "/api/{version}/mlflow/{rest:path}", self.forward),
        ]

    def create_experiment(self, request: Request) -> Reply:
        name = request.fields["name"]
        if not name.startswith("/"):
            message = f"Experiment name '{name}' is not valid: it must be an absolute path."
            raise ApiError(400, "INVALID_PARAMETER_VALUE", message)
        return self.forward(request)

    def forward(self, request: Request) -> Reply:
        self._handlers._tracking_store = self._store  # the application keeps one, for all
        answer = self._client.open(
            request.path,
            method=request.method,
            query_string=request.query,
            data=request.body,
            content_type=request.headers.get("content-type"),
        )
        # A workspace has another folder for logged models, by which the client knows them.
        body = re.sub(rb"(mlflow-tracking/[^/\"]+)/models/", rb"\1/logged_models/", answer.data)
        return Reply(body, answer.status_code, {"Content-Type": "application/json"})
