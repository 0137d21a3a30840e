"""Run `kedro traffic`: one line per day, and a summary at the end or on an interruption."""

from collections import deque
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
from marvel_kedro.simulation.world import World


def local_url(server: ServerOptions, endpoint: EndpointOptions) -> str:
    """Return the address of `kedro serve` on this machine."""
    return f"{server.url}/serving-endpoints/{endpoint.name}/invocations"


def checked(**options: Any) -> TrafficOptions:  # noqa: ANN401 - checked here
    """Validate the options; without `start`, the last day is yesterday.

    Raises:
        ProjectError: Options are out of range; the message names each of them.
    """
    if options.get("start") is None:
        options["start"] = datetime.now(UTC).date() - timedelta(days=options["days"])
    try:
        return TrafficOptions.model_validate(options)
    except ValidationError as error:
        errors = (
            f"--{str(each['loc'][-1]).replace('_', '-')}: {each['msg']}" for each in error.errors()
        )
        raise ProjectError("; ".join(errors)) from error


def run(  # noqa: PLR0913 - one per option
    *,
    url: str,
    token: str | None,
    rate: float,
    connections: int,
    labels_to: Path,
    options: TrafficOptions,
    world: World,
) -> None:
    """Send the traffic, write the labels as they become known, and print a summary.

    Raises:
        ProjectError: There are too many rows, or the server does not respond; the requests sent
            until then are in the summary.
    """
    if not urlsplit(url).path.strip("/"):
        url = f"{url.rstrip('/')}/invocations"
    sender, total = Sender(url, token), Tally()
    labels, delay = 0, options.label_delay_days
    planned: deque[traffic_plan.Day] = deque(maxlen=delay + 1)
    days = traffic_plan.days(options, world)
    if options.drift.scenario != "none" and options.drift_from_day <= options.days:
        click.echo(f"from day {options.drift_from_day}: {world.describe(options.drift)}")
    try:
        for day in days:
            planned.append(day)
            tally = replay_day(day, sender, rate=rate, connections=connections, total=total)
            scenario = options.drift.scenario if day.drifts else "calm"
            shown = "" if options.drift.scenario == "none" else f"  {scenario:9}"
            click.echo(f"day {day.number:2}  {day.date}{shown}  {_short(tally)}")
            due = traffic_plan.labels_due(planned, day.number, delay)
            if len(due):
                traffic_plan.add_labels(labels_to, due)
                labels += len(due)
    finally:
        click.echo()
        click.echo("\n".join(total.lines()))
        if labels:
            click.echo(f"labels    {labels:,} added to {labels_to}")


def _short(tally: Tally) -> str:
    """Format rate, latency, statuses and entities of a day on one line."""
    first, *others = tally.lines()
    shown = ("latency", "status", "entity")
    return "  ".join([first, *(line[10:] for line in others if line.startswith(shown))])
