"""The summary of a run in the terminal: results, model performance and next steps."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw
import pandas as pd
import pyarrow as pa
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from narwhals.typing import IntoFrame
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Column, Table

from marvel_kedro.core.rounding import rounded
from marvel_kedro.core.terminal import wide_enough
from marvel_kedro.model.evaluation import MODELS, one_class
from marvel_kedro.table.frames import lazily

if TYPE_CHECKING:
    from marvel_kedro.table.description import TableSpec

METRICS = {"roc_auc": "ROC AUC", "log_loss": "log loss", "ece": "calibration"}


def show(
    pipeline: Pipeline, catalog: CatalogProtocol[Any, Any], console: Console | None = None
) -> None:
    """Print the summary of a run, in colours on a terminal; nothing without results or pages."""
    made = pipeline.all_outputs()
    grid = Table.grid(Column(style="bold", no_wrap=True), Column(overflow="fold"), padding=(0, 2))
    if "data_quality" in made:
        grid.add_row("Data", _data(catalog.load("data_quality")))
    if {"evaluation", "promotion"} <= made:
        promotion = catalog.load("promotion")
        evaluation = catalog.load("evaluation")
        grid.add_row("Model", _models(evaluation))
        if sentences := one_class(evaluation, catalog.load("params:table")):
            grid.add_row("", f"[yellow]{' '.join(sentences.values())}[/yellow]")
        grid.add_row("Gate", _gate(promotion))
        if promotion["data_source"] == "synthetic":
            grid.add_row("", _SYNTHETIC)
    if "health_metrics" in made:
        monitoring = catalog.load("params:monitoring")
        grid.add_row("Monitoring", _monitored(catalog.load("health_metrics"), monitoring.now))
    for name, (title, text) in _TEXTS.items():
        if name in made:
            grid.add_row(title, text(catalog.load(name), catalog))
    if not grid.rows and not made & _PAGES.keys():
        return
    if next_steps := _next(made, catalog):
        grid.add_row("Next", next_steps)
    wide_enough(console).print(Panel(grid, title="marvel_kedro", expand=False))


_SYNTHETIC = (
    "[yellow]Synthetic data: the figures show that the job works, and nothing about Marvel's "
    "characters.\ndocs/pipelines.md says where to get the real file.[/yellow]"
)
_MANY_UNUSABLE = 0.05  # a share of the rows that is too large for mere typing errors


def _data(quality: dict[str, Any]) -> str:
    reasons = ", ".join(f"{rows:,} {reason}" for reason, rows in quality["rejected"].items())
    text = (
        f"{quality['rows_in']:,} rows in, {quality['rows_kept']:,} kept, "
        f"{quality['rows_rejected']:,} rejected" + (f" ({reasons})" if reasons else "")
    )
    if marked := quality.get("missing_markers"):
        cells = ", ".join(f"{cells:,} of {name}" for name, cells in marked.items())
        text += f"\nmissing by a marker such as NA (processing.missing_markers): {cells}"
    for name, values in quality["unusable"].items():
        if values > _MANY_UNUSABLE * quality["rows_kept"]:
            text += (
                f"\n[yellow]{values:,} values of {name} do not count as numbers and are null: "
                "see docs/own-data.md.[/yellow]"
            )
    return text


def _models(evaluation: pd.DataFrame) -> Table:
    overall = evaluation[evaluation["slice_key"].isna()].set_index(["model", "metric"])
    title = f"on {overall['rows'].max():,} test rows, with intervals"
    known = overall["value"].groupby("metric").count()
    metrics = [name for name in METRICS if known.get(name)]
    figures = (Column(METRICS[name], justify="right", no_wrap=True) for name in metrics)
    table = Table(Column(no_wrap=True), *figures, title=title, box=SIMPLE_HEAD, pad_edge=False)
    table.title_justify = "left"
    table.title_style = ""
    for model in (name for name in MODELS if (name, "ece") in overall.index):
        values = overall.loc[model].loc[metrics, ["value", "low", "high"]]
        texts = (map(partial(rounded, form=".3f"), row) for row in values.itertuples(index=False))
        cells = (f"{value}\n[dim]{low}-{high}[/dim]" for value, low, high in texts)
        table.add_row(MODELS[model], *cells)
    return table


def _gate(promotion: dict[str, Any]) -> str:
    version = promotion["model_version"]
    if version and version == promotion["previous_champion"]:
        return f"[green]champion already[/green]: version {version} is this model"
    verdict = "[yellow]not promoted[/yellow]"
    if promotion.get("alias") == "challenger":
        verdict = f"[yellow]challenger[/yellow]: version {version} is tested against the champion"
    if promotion["promoted"]:
        verdict = f"[green]promoted[/green]: version {version} is the champion"
    return f"{verdict}\n{promotion['reason']}."


def _predictions(predictions: IntoFrame, catalog: CatalogProtocol[Any, Any]) -> str:
    """Count on the engine, because the table may be long."""
    table: TableSpec = catalog.load("params:table")
    positive = table.target.positive
    is_positive = (nw.col("prediction") == positive).cast(nw.Int64)
    counts = lazily(predictions).select(
        nw.len().alias("rows"), is_positive.mean().alias("share"), nw.col("model_version").max()
    )
    ((rows, share, version),) = counts.lazy().collect().iter_rows()
    return (
        f"{rows:,} {escape(table.row.many)} scored by version {version}, "
        f"{rounded(share or 0.0, '.0%')} {escape(positive)}"
    )


def _monitored(health: pa.Table, now: datetime) -> str:
    """Describe the newest window, of any length; it may still be running."""
    if not health.num_rows:
        return "no request has been measured yet"
    newest = max(health["window"].to_pylist(), key=itemgetter("start", "end"))
    rows = [row for row in health.to_pylist() if row["window"] == newest]
    requests, failed = (sum(row[name] for row in rows) for name in ("requests", "failed"))
    so_far = " so far" if newest["end"] > now else ""
    share = rounded(failed / max(requests, 1), ".1%")
    return (
        f"{requests:,} requests{so_far}, {share} failed, in the "
        f"newest window, of {rows[0]['granularity']} from {newest['start']:%Y-%m-%d %H:%M} UTC"
    )


def _alerts(table: pa.Table) -> str:
    """Count alerts by state, and list the newest five open ones."""
    alerts = table.to_pylist()
    states = Counter(alert["state"] for alert in alerts)
    counts = [f"{states[state]:,} {state}" for state in ("open", "acknowledged", "silenced")]
    new = [alert for alert in alerts if alert["state"] == "open"][-5:]
    lines = [f"{alert['severity']} {alert['rule']}: {alert['message']}" for alert in new]
    return escape("\n".join([", ".join(counts), *lines]))


def _retrain(decision: dict[str, Any]) -> str:
    verdict = "[green]yes[/green]" if decision["retrain"] else "no"
    return "\n".join([verdict, *map(escape, decision["reasons"])])


_TEXTS: dict[str, tuple[str, Callable[[Any, CatalogProtocol[Any, Any]], str]]] = {
    "predictions": ("Predictions", _predictions),
    "ab_report": ("A/B test", lambda report, _: escape(report["verdict"])),
    "alerts": ("Alerts", lambda alerts, _: _alerts(alerts)),
    "retrain": ("Retrain", lambda decision, _: _retrain(decision)),
}
"""Heading and text of a result, by dataset."""


_PAGES = {
    "model_card": "open the model card",
    "ab_page": "open the A/B reading",
    "monitoring_report": "open the report",
}
"""What to do with a page, by dataset."""


def _next(made: set[str], catalog: CatalogProtocol[Any, Any]) -> Table | None:
    steps = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2))
    for name, step in _PAGES.items():
        path = getattr(catalog.get(name), "_filepath", None) if name in made else None
        if path:
            path, here = Path(path), Path.cwd()
            path = path.relative_to(here) if path.is_relative_to(here) else path
            steps.add_row(step, escape(str(path)))
    if Path("Makefile").exists():  # not in a job that runs from the wheel
        if "model_card" in made:
            steps.add_row("see runs and models", "make ui")
        steps.add_row("see pipelines, tables, plots", "make viz")
    return steps if steps.rows else None
