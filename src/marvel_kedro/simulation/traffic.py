"""The command `kedro traffic`: day by day, with a line a day and a summary, however it ends."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from pydantic import ValidationError

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.serving.configuration import EndpointOptions, ServerOptions
from marvel_kedro.simulation import traffic_plan
from marvel_kedro.simulation.traffic_plan import TrafficOptions
from marvel_kedro.simulation.traffic_replay import Sender, Tally, replay_day


def local_url(server: ServerOptions, endpoint: EndpointOptions) -> str:
    """Where `kedro serve` answers on this machine."""
    return f"{server.url}/serving-endpoints/{endpoint.name}/invocations"


def checked(**options: Any) -> TrafficOptions:  # noqa: ANN401 - checked here
    """Check the options.

    Raises:
        ProjectError: It names each option that is out of range.
    """
    if options.get("start") is None:
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        options["start"] = yesterday - timedelta(days=options["days"] - 1)
    try:
        return TrafficOptions.model_validate(options)
    except ValidationError as error:
        faults = (
            f"--{str(fault['loc'][-1]).replace('_', '-')}: {fault['msg']}"
            if fault["loc"]
            else fault["msg"]
            for fault in error.errors()
        )
        raise ProjectError("; ".join(faults)) from error


def run(  # noqa: PLR0913 - one an option
    *,
    url: str,
    token: str | None,
    rate: float,
    connections: int,
    labels_to: Path,
    options: TrafficOptions,
) -> None:
    """Send the traffic, write the labels that become known on the way, and say what came of it.

    Raises:
        ProjectError: Nobody answers. What was sent until then has been summed up.
    """
    if not urlsplit(url).path.strip("/"):
        url = f"{url.rstrip('/')}/invocations"
    sender, total = Sender(url, token), Tally()
    made: list[traffic_plan.Day] = []
    labels = 0
    try:
        for day in traffic_plan.days(options):
            made = [*made[-options.label_delay_days :], day] if options.label_delay_days else [day]
            tally = replay_day(day, sender, rate=rate, connections=connections, total=total)
            click.echo(f"day {day.number:2}  {day.date}{_scenario(day, options)}  {_short(tally)}")
            due = traffic_plan.labels_due(made, day.number, options.label_delay_days)
            if len(due):
                traffic_plan.add_labels(labels_to, due)
                labels += len(due)
    finally:
        click.echo()
        click.echo("\n".join(total.lines()))
        if labels:
            click.echo(f"labels    {labels:,} added to {labels_to}")


def _scenario(day: traffic_plan.Day, options: TrafficOptions) -> str:
    if options.drift.scenario == "none":
        return ""
    return f"  {options.drift.scenario if day.drifts else 'calm':9}"


def _short(tally: Tally) -> str:
    """Rate, latency and statuses of a day on one line."""
    first, *others = tally.lines()
    wanted = ("latency", "status", "entity")
    return "  ".join([first, *(line[10:] for line in others if line.startswith(wanted))])
