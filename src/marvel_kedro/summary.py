"""The closing summary in the terminal: what came out, how good it is, what to do next."""

from typing import Any

import pandas as pd
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table

MODELS = {
    "candidate": "this run's model",
    "champion": "champion so far",
    "logistic_regression": "logistic regression",
    "always_alive": "always Alive",
}
METRICS = {"roc_auc": "ROC AUC", "log_loss": "log loss", "ece": "calibration error", "f1": "F1"}
CARD = "data/08_reporting/model_card.html"


def show(pipeline: Pipeline, catalog: CatalogProtocol, console: Console | None = None) -> None:
    """Print the summary of a run; nothing if it made nothing worth one.

    Args:
        pipeline: What ran.
        catalog: Where its results are.
        console: Where to print; the terminal, or plain text where there is none.
    """
    parts: list[RenderableType] = []
    made = pipeline.outputs() | pipeline.datasets()
    saved = {name for node in pipeline.nodes for name in node.outputs}
    if "data_quality" in saved:
        parts += [_data(catalog.load("data_quality"))]
    if {"evaluation", "promotion"} <= saved:
        parts += [_models(catalog.load("evaluation")), _gate(catalog.load("promotion"))]
    if "predictions" in saved:
        parts += [_predictions(catalog.load("predictions"))]
    if not parts:
        return
    parts += [_next(made)]
    (console or Console()).print(Panel(Group(*parts), title="marvel_kedro", expand=False))


def _data(quality: dict[str, Any]) -> str:
    reasons = ", ".join(f"{rows:,} {reason}" for reason, rows in quality["rejected"].items())
    rejected = f"{quality['rows_rejected']:,} rejected" + (f" ({reasons})" if reasons else "")
    return (
        f"[bold]Data[/bold]         {quality['rows_in']:,} rows in, "
        f"{quality['rows_kept']:,} kept, {rejected}"
    )


def _models(evaluation: pd.DataFrame) -> Table:
    overall = evaluation[evaluation["slice_key"].isna()].set_index(["model", "metric"])
    table = Table(
        title=f"On {overall['rows'].iloc[0]:,} test rows, with 95 % intervals", title_justify="left"
    )
    table.add_column("model")
    for heading in METRICS.values():
        table.add_column(heading, justify="right")
    for model, name in MODELS.items():
        if model in overall.index.get_level_values("model"):
            figures = [overall.loc[(model, metric)] for metric in METRICS]
            table.add_row(name, *(f"{f.value:.3f} [dim]{f.low:.3f}..{f.high:.3f}[/dim]" for f in figures))
    return table


def _gate(promotion: dict[str, Any]) -> str:
    if promotion["promoted"]:
        verdict = f"[green]promoted[/green]: version {promotion['model_version']} is the champion"
    else:
        verdict = "[yellow]not promoted[/yellow]"
    warning = ""
    if promotion["data_source"] == "synthetic":
        warning = "\n             [yellow]Synthetic data: the figures show that it works, not how characters fare.[/yellow]"
    return f"[bold]Gate[/bold]         {verdict}. {promotion['reason']}{warning}"


def _predictions(predictions: pd.DataFrame) -> str:
    alive = (predictions["prediction"] == "Alive").mean()
    version = predictions["model_version"].iloc[0]
    return (
        f"[bold]Predictions[/bold]  {len(predictions):,} characters scored by version {version}, "
        f"{alive:.0%} Alive"
    )


def _next(made: set[str]) -> str:
    steps = ["make viz                 the pipelines, tables and plots"]
    if "promotion" in made:
        steps = [
            f"{CARD}    the model card, in a browser",
            *steps,
            "kedro mlflow ui          runs and registered models",
        ]
    return "[bold]Next[/bold]         " + "\n             ".join(steps)
