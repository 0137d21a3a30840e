"""`kedro traffic`: send simulated requests to an endpoint."""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from marvel_kedro.cli import options
from marvel_kedro.cli.error_handling import errors_as_messages
from marvel_kedro.project import configuration, simulated_world
from marvel_kedro.simulation import traffic as simulation


@click.command()
@options.env
@options.conf_source
@click.option("--url", help="Address of the endpoint; by default that of `kedro serve`.")
@click.option(
    "--rate", default=100.0, type=options.Number(0, min_open=True), help="Requests a second."
)
@click.option("--requests", default=1000, help="Requests a simulated day.")
@click.option("--days", default=10, help="Simulated days.")
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d"]),
    help="First day; by default the last day is yesterday.",
)
@click.option(
    "--scenario",
    default="none",
    help="Drift of the rows.",
    type=click.Choice(["none", "covariate", "prior", "concept"]),
)
@click.option(
    "--magnitude", default=0.5, type=options.Number(0, 1), help="Size of the drift, from 0 to 1."
)
@click.option("--drift-from-day", default=6, help="First day with drift, counted from 1.")
@click.option("--label-delay-days", default=1, help="Days until a label is known.")
@click.option(
    "--labels-to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Parquet file of the labels; by default the table `labels`.",
)
@click.option("--records", default=1, help="Records a request.")
@click.option("--clients", default=1000, help="Distinct client_request_ids; 0 sends none.")
@click.option("--connections", default=16, type=click.IntRange(1), help="Concurrent requests.")
@click.option("--seed", default=1, help="Seed of rows and clients; equal seeds send equal bytes.")
@errors_as_messages()
def traffic(  # noqa: PLR0913 - one an option
    *,
    env: str | None,
    conf_source: str | None,
    url: str | None,
    rate: float,
    start: datetime | None,
    scenario: str,
    magnitude: float,
    labels_to: Path | None,
    connections: int,
    **options: Any,  # noqa: ANN401 - those of `TrafficOptions`
) -> None:
    """Send records of the table to an endpoint, over simulated days with drift and late labels.

    MARVEL_TOKEN is the bearer token, if the server requires one.
    """
    read = configuration.load(env, conf_source)
    simulation.run(
        url=url or simulation.local_url(read.parameters.server, read.parameters.endpoint),
        token=os.environ.get("MARVEL_TOKEN"),
        rate=rate,
        connections=connections,
        labels_to=labels_to or Path(read.names["files"], "03_primary", "labels.parquet"),
        options=simulation.checked(
            **options,
            start=start.date() if start else None,
            drift={"scenario": scenario, "magnitude": magnitude},
            world_seed=read.parameters.synthetic.seed,
        ),
        world=simulated_world.find_world(read),
    )
