"""`kedro serve`: serve the model over HTTP."""

import click

from marvel_kedro.cli import options
from marvel_kedro.cli.error_handling import errors_as_messages
from marvel_kedro.project import configuration
from marvel_kedro.serving import start


@click.command()
@options.env
@options.conf_source
@click.option("--host", help="Address to listen on; 0.0.0.0 is every interface.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 is any free port.")
@click.option("--workers", type=click.IntRange(1), help="Number of worker processes.")
@click.option(
    "--allow-anonymous",
    is_flag=True,
    default=None,
    help="Listen beyond this machine without tokens.",
)
@click.option("--fetch", is_flag=True, help="Fetch the models and exit: for images.")
@errors_as_messages()
def serve(
    env: str | None, conf_source: str | None, *, fetch: bool, **overrides: str | int | None
) -> None:
    """Serve the model over HTTP, as the parameter sections `endpoint` and `server` describe.

    MARVEL_TOKENS=name:token,.. (or a file, MARVEL_TOKENS_FILE) restricts access to clients with a
    token. OTEL_EXPORTER_OTLP_ENDPOINT turns OpenTelemetry on.
    """
    described = configuration.load(env, conf_source).description
    start.start(described, configuration.project_path(), fetch=fetch, **overrides)
