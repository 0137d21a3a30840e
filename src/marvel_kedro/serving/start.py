"""`kedro serve`: the endpoint of the parameters as a process on this machine."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model import tracking
from marvel_kedro.project.configuration import Configuration
from marvel_kedro.serving.configuration import Description, ServerOptions

_NEEDED = ("deltalake", "httptools", "orjson", "prometheus_client", "swagger_ui_bundle", "uvicorn")
_PATHS = ("folder", "models", "inference_table", "characters", "monitoring_metrics")


def start(
    read: Configuration, project: Path, *, fetch: bool = False, **said: str | int | None
) -> NoReturn:
    """Become the server.

    Args:
        read: The configuration.
        project: What relative paths are relative to.
        fetch: Whether only the models are to be fetched.
        said: Options of the command, by field of `ServerOptions`; None leaves the parameter.

    Raises:
        ProjectError: The packages of the server are not installed, or its folder cannot be used.
    """
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise ProjectError(
            f"The server needs packages that are not installed ({', '.join(missing)}): "
            "make serve, or pip install 'marvel-kedro[server]'."
        )
    path = write_description(read, project, **said)
    store = tracking.find_store(project)
    os.environ["MLFLOW_TRACKING_URI"] = store.uri
    if store.registry:
        os.environ["MLFLOW_REGISTRY_URI"] = store.registry
    sys.stdout.flush()
    # Nothing of Kedro is in the server's memory.
    words = [sys.executable, "-m", "marvel_kedro.serving", str(path), *["--fetch"] * fetch]
    os.execv(sys.executable, words)  # noqa: S606


def write_description(read: Configuration, project: Path, **said: str | int | None) -> Path:
    """Write down what the server is to be, with absolute paths.

    Returns:
        The file.
    """
    given = {name: value for name, value in said.items() if value is not None}
    server = ServerOptions.model_validate(read.description.server.model_dump() | given)
    said_paths = {name: getattr(server, name) for name in _PATHS}
    paths = {name: (project / path).resolve() for name, path in said_paths.items() if path}
    server = server.model_copy(update=paths)
    described = Description(endpoint=read.description.endpoint, server=server)
    path = server.folder / "description.json"
    try:
        server.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(described.model_dump_json(indent=1), "utf-8")
    except OSError as error:
        raise ProjectError(
            f"{path}: {error.strerror}. Say a folder that can be written to, as server.folder."
        ) from error
    return path
