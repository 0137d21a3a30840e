"""`kedro serve`: the model over HTTP."""

import click

from marvel_kedro.cli import options
from marvel_kedro.cli.error_handling import told


@click.command()
@options.env
@options.conf_source
@click.option("--host", help="Address to listen on; 0.0.0.0 is everywhere.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 is any that is free.")
@click.option("--workers", type=click.IntRange(1), help="Processes that answer.")
@click.option("--fetch", is_flag=True, help="Fetch the models and end: for images.")
def serve(  # noqa: PLR0913 - one an option
    *,
    env: str | None,
    conf_source: str | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    fetch: bool,
) -> None:
    """Serve the model over HTTP, as the sections `endpoint` and `server` of the parameters say.

    MARVEL_TOKENS=name:token,.. (or a file, MARVEL_TOKENS_FILE) lets only those in who have a token.
    OTEL_EXPORTER_OTLP_ENDPOINT turns OpenTelemetry on.
    """
    with told("Interrupted."):
        from marvel_kedro.project import configuration  # noqa: PLC0415 - for commands
        from marvel_kedro.serving import start as server  # noqa: PLC0415

        server.start(
            configuration.load(env, conf_source).description,
            configuration.project_path(),
            host=host,
            port=port,
            workers=workers,
            fetch=fetch,
        )
