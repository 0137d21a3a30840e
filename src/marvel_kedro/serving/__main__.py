"""`python -m marvel_kedro.serving`: the endpoint as a process of its own."""

import json
import logging
import os
import sys
from pathlib import Path

import click
import orjson
import yaml

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import validate
from marvel_kedro.serving import state_folder
from marvel_kedro.serving.configuration import Description
from marvel_kedro.serving.http.auth import Tokens
from marvel_kedro.serving.telemetry import metric_files


class _JsonLines(logging.Formatter):
    """The supervisor's own lines, in the form of the workers'."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["fault"] = repr(record.exc_info[1])
        return orjson.dumps(fields).decode()


def read_description(path: Path) -> Description:
    """Read what `kedro serve` has written, or a file by hand, in JSON or YAML.

    Raises:
        ProjectError: It cannot be read, or a key is wrong.
    """
    try:
        read = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ProjectError(f"{path} cannot be read: {error}") from error
    return validate(Description, read, f"Mend them in {path}.")


@click.command(context_settings={"max_content_width": 100})
@click.argument("description", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--fetch", is_flag=True, help="Fetch the models and end: for images.")
def main(description: Path, *, fetch: bool) -> None:
    """Serve what DESCRIPTION says: its sections are `endpoint` and `server` of the parameters.

    The registry is MLFLOW_REGISTRY_URI or MLFLOW_TRACKING_URI; MARVEL_TOKENS or MARVEL_TOKENS_FILE
    say who may ask.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    # A registry that is away is asked again at the next turn.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    read = read_description(description)
    if fetch:
        _fetch(read)
        return
    tokens = Tokens.from_environment()
    folder = read.server.folder
    held = state_folder.own(folder)
    _make_room_to_count(folder, read.server.workers)
    from marvel_kedro.serving.processes import supervisor  # noqa: PLC0415 - imports what counts

    sock = supervisor.listen(read.server.host, read.server.port)
    _say(read, sock.getsockname()[1], with_tokens=bool(tokens.digests))
    supervisor.serve(read, sock)
    os.close(held)


def _make_room_to_count(folder: Path, workers: int) -> None:
    try:
        metric_files.prepare(folder / state_folder.METRICS, spares=workers + 1)
    except OSError as error:
        raise ProjectError(
            f"{folder}: {error.strerror}. Make room, or say another server.folder."
        ) from error


def _fetch(description: Description) -> None:
    from marvel_kedro.serving.models.registry_watch import Registry  # noqa: PLC0415 - imports MLflow

    description.server.models.mkdir(parents=True, exist_ok=True)
    deployment = Registry(description, description.server.models).refresh()
    if deployment.faults or not deployment.entities:
        raise ProjectError(
            "The models cannot be fetched: "
            + (json.dumps(deployment.faults) if deployment.faults else "no alias points anywhere.")
        )
    for entity in deployment.entities:
        click.echo(f"{entity.name}: version {entity.version} of {entity.model}")


def _say(description: Description, port: int, *, with_tokens: bool) -> None:
    host = description.server.host
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    click.echo(f"{description.endpoint.name} at {address}, {address}/docs shows it.", err=True)
    if not with_tokens and host not in ("127.0.0.1", "::1", "localhost"):
        click.echo("Everybody who reaches this address may ask: set MARVEL_TOKENS.", err=True)


if __name__ == "__main__":
    main()
