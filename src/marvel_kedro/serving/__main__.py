"""The server process: `python -m marvel_kedro.serving DESCRIPTION`."""

import json
import logging
import os
import sys
from ipaddress import ip_address
from pathlib import Path

import click
import orjson
import yaml

from marvel_kedro.core import file_lock
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import validate
from marvel_kedro.serving.configuration import ServerOptions, ServingConfiguration
from marvel_kedro.serving.http.auth import Tokens
from marvel_kedro.serving.telemetry import log_streams, metric_files


class _JsonLines(logging.Formatter):
    """Formats the supervisor's log records like the workers' lines."""

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


@click.command(context_settings={"max_content_width": 100})
@click.argument("description", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--fetch", is_flag=True, help="Fetch the models and end: for images.")
def main(description: Path, *, fetch: bool) -> None:
    """Serve the endpoint that the file DESCRIPTION configures, in JSON or YAML.

    The file has the sections `table`, `endpoint` and `server` of the parameters. The registry is
    MLFLOW_REGISTRY_URI or MLFLOW_TRACKING_URI; MARVEL_TOKENS or MARVEL_TOKENS_FILE hold the tokens
    of the clients.
    """
    log_streams.install()
    handler = logging.StreamHandler(sys.stderr)
    is_read = sys.stderr.isatty()
    handler.setFormatter(
        logging.Formatter("%(levelname)s %(message)s") if is_read else _JsonLines()
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    # The next poll is the retry; `kedro serve` leaves the retries of its runs in the environment.
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT"] = "10"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "8")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    configuration = _read_configuration(description)
    if fetch:
        _fetch(configuration)
        return
    tokens = Tokens.from_environment()
    server = configuration.server
    lock = _prepare_folder(server)
    from marvel_kedro.serving.processes import supervisor  # noqa: PLC0415 - imports the metrics

    sock = supervisor.listen(server.host, server.port)
    address, port = sock.getsockname()[:2]
    check_access(server, address, tokens)
    server.address_file.write_text(server.url_of(port), "utf-8")  # for `kedro endpoint show`
    _announce(configuration, port, has_tokens=bool(tokens.digests))
    try:
        supervisor.serve(configuration, sock)
    finally:
        server.address_file.unlink(missing_ok=True)
        os.close(lock)


def _read_configuration(path: Path) -> ServingConfiguration:
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ProjectError(f"{path} cannot be read: {error}") from error
    return validate(ServingConfiguration, values, f"Correct them in {path}.")


def _prepare_folder(server: ServerOptions) -> int:
    """Create the server's folder and files of metrics, and return its lock.

    Raises:
        ProjectError: The folder is not writable or has no room, or another server runs in it.
    """
    folder = server.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = file_lock.acquire(folder / "server.lock")
    except OSError as error:
        raise ProjectError(
            f"{folder}: {error.strerror}. The server keeps requests there that are not yet in the "
            "inference table: set server.folder to a folder that can be written to."
        ) from error
    if lock is None:
        raise ProjectError(
            f"Another server runs in {folder}. Stop it, or set another server.folder."
        )
    try:
        metric_files.prepare(folder / "metrics", spares=server.workers + 1)
    except OSError as error:
        raise ProjectError(
            f"{folder}: {error.strerror}. Free some space, or set another server.folder."
        ) from error
    return lock


def _fetch(configuration: ServingConfiguration) -> None:
    from marvel_kedro.serving.models.registry_watch import Registry  # noqa: PLC0415 - imports MLflow

    deployment = Registry(configuration, configuration.server.models).refresh()
    if deployment.faults or not deployment.entities:
        cause = json.dumps(deployment.faults) if deployment.faults else "no alias has a version."
        raise ProjectError(f"The models cannot be fetched: {cause}")
    for entity in deployment.entities:
        click.echo(f"{entity.name}: version {entity.version} of {entity.model}")


def check_access(server: ServerOptions, address: str, tokens: Tokens) -> None:
    """Refuse to listen on an address beyond this machine without tokens, unless that is allowed.

    Raises:
        ProjectError: It names the variables and the option.
    """
    if not (tokens.digests or server.allow_anonymous or ip_address(address).is_loopback):
        raise ProjectError(
            f"Anyone who reaches {server.host} could query the model. Set MARVEL_TOKENS=name:token "
            "or MARVEL_TOKENS_FILE, or allow it: kedro serve --allow-anonymous "
            "(server.allow_anonymous, MARVEL_ALLOW_ANONYMOUS=true)."
        )


def _announce(configuration: ServingConfiguration, port: int, *, has_tokens: bool) -> None:
    host = configuration.server.host
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    name = configuration.endpoint.name
    click.echo(f"{name} at {address}, documentation at {address}/docs.", err=True)
    if configuration.server.allow_anonymous and not has_tokens:
        click.echo("Anyone who can reach this address can query it: no token is set.", err=True)


if __name__ == "__main__":
    main()
