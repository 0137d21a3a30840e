"""`kedro serve`: serve the model over HTTP."""

import click

from marvel_kedro.cli import options
from marvel_kedro.cli.error_handling import errors_as_messages


@click.command()
@options.env
@options.conf_source
@click.option("--host", help="Address to listen on; 0.0.0.0 is every interface.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 is any free port.")
@click.option("--workers", type=click.IntRange(1), help="Number of worker processes.")
@click.option("--fetch", is_flag=True, help="Fetch the models and exit: for images.")
def serve(  # noqa: PLR0913 - one an option
    *,
    env: str | None,
    conf_source: str | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    fetch: bool,
) -> None:
    """Serve the model over HTTP, as the parameter sections `endpoint` and `server` describe.

    MARVEL_TOKENS=name:token,.. (or a file, MARVEL_TOKENS_FILE) restricts access to clients with a
    token. OTEL_EXPORTER_OTLP_ENDPOINT turns OpenTelemetry on.
    """
    with errors_as_messages("Interrupted."):
        from marvel_kedro.project import configuration  # noqa: PLC0415 - when the command runs
        from marvel_kedro.serving import start  # noqa: PLC0415

        start.start(
            configuration.load(env, conf_source).description,
            configuration.project_path(),
            host=host,
            port=port,
            workers=workers,
            fetch=fetch,
        )
