"""The start of `kedro serve`: replace this process by the server, which knows nothing of Kedro."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from marvel_kedro.core import odd_paths
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model import store_location, tracking
from marvel_kedro.serving.configuration import ServerOptions, ServingConfiguration

_REQUIRED = (
    "deltalake", "httptools", "orjson", "prometheus_client", "starlette", "swagger_ui_bundle",
    "uvicorn",
)  # fmt: skip


def start(
    configuration: ServingConfiguration,
    project: Path,
    *,
    fetch: bool = False,
    **overrides: str | int | None,
) -> NoReturn:
    """Replace this process by the server, or with `fetch` by one that only fetches the models.

    The MLflow store is that of the folder `project`. The overrides are fields of `ServerOptions`;
    None keeps the parameter.

    Raises:
        ProjectError: The packages of the server are not installed, or its folder is not writable.
    """
    if missing := [name for name in _REQUIRED if find_spec(name) is None]:
        raise ProjectError(
            f"The server needs packages that are not installed ({', '.join(missing)}): "
            "make serve, or pip install 'marvel-kedro[server]'."
        )
    given = {name: value for name, value in overrides.items() if value is not None}
    server = ServerOptions.model_validate(configuration.server.model_dump() | given)
    if server.inference_table:
        odd_paths.check_delta(server.inference_table)
    path = server.folder / "description.json"
    changed = configuration.model_copy(update={"server": server})
    try:
        server.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(changed.model_dump_json(indent=1), "utf-8")
    except OSError as error:
        raise ProjectError(
            f"{path}: {error.strerror}. Set server.folder to a folder that can be written to."
        ) from error
    store = tracking.find_store(project)
    store_location.relocate(store.uri)
    os.environ["MLFLOW_TRACKING_URI"] = store.uri
    if store.registry:
        os.environ["MLFLOW_REGISTRY_URI"] = store.registry
    sys.stdout.flush()
    command = [sys.executable, "-m", "marvel_kedro.serving", str(path), *["--fetch"] * fetch]
    os.execv(sys.executable, command)  # noqa: S606
