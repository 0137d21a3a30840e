"""Write the model card in Markdown."""

from importlib.metadata import version
from typing import Any

import pandas as pd

from marvel_kedro import __version__
from marvel_kedro.core.page import cell, templates
from marvel_kedro.core.rounding import rounded
from marvel_kedro.model.evaluation import one_class, titles
from marvel_kedro.model.options import TrainingOptions
from marvel_kedro.table.description import Column, TableSpec

METRICS = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "ece": "Calibration error",
    "accuracy": "Accuracy",
    "f1": "F1",
}
SLICE_METRICS = ("roc_auc", "log_loss", "ece")
PLOTS = {
    "roc": "ROC curves of the candidate and the baselines",
    "calibration": "Share of the positive class by predicted probability",
    "confusion": "Predictions and labels",
    "importance": "The features with the largest gain",
}
SOFTWARE = ("lightgbm", "mlflow", "pandas", "numpy")


def render_markdown(  # noqa: PLR0913, PLR0917 - what a card is about
    promotion: dict[str, Any],
    tables: dict[str, dict[str, Any]],
    evaluation: pd.DataFrame,
    threshold: float,
    table: TableSpec,
    options: TrainingOptions,
) -> str:
    """Write the card of a record of promotion; the plots are files beside it.

    `tables` has `digest`, `rows` and `positive` of the train and the test set; `threshold` is that
    of the candidate.
    """
    overall = evaluation[evaluation["slice_key"].isna()]
    title_of = titles(_share(tables["train_set"]))
    models = [name for name in title_of if name in set(overall["model"])]
    known = set(overall.loc[overall["value"].notna(), "metric"])
    sentences = one_class(evaluation, table)
    plots = dict(PLOTS)
    if "predictions" in sentences:
        known -= {"f1"}
        del plots["confusion"]
    if "labels" in sentences:
        del plots["roc"]
    template = templates("marvel_kedro.model", autoescape=False).get_template("model_card.md.j2")
    return template.render(
        **promotion | {"checks": [_check(check) for check in promotion["checks"]]},
        verdict=_verdict(promotion),
        version=promotion["model_version"],
        trained_at=f"{options.trained_at:%Y-%m-%d %H:%M %Z}",
        git_sha=options.origin.get("git_sha"),
        software=", ".join(
            [f"marvel_kedro {__version__}", *(f"{name} {version(name)}" for name in SOFTWARE)]
        ),
        table=table,
        question=cell(table.question),
        positive=cell(table.target.positive),
        other=cell(table.target.other),
        columns={name: cell(_describe(each)) for name, each in table.inputs.items()},
        tables=[_rows(name, each) for name, each in tables.items()],
        test_rows=int(overall["rows"].max()),
        confidence=f"{100 * options.evaluation.confidence:g}%",
        models=[title_of[name] for name in models],
        metrics={
            title: [_figure(overall, model, metric) for model in models]
            for metric, title in METRICS.items()
            if metric in known
        },
        one_class=" ".join(sentences.values()),
        slice_metrics=[METRICS[metric] for metric in SLICE_METRICS],
        slices=_slices(evaluation),
        plots=plots,
        threshold=f"{threshold:.4g}",
        parameters={name: cell(value) for name, value in options.fit.model_dump().items()},
    )


def _verdict(promotion: dict[str, Any]) -> str:
    version = promotion["model_version"]
    if version and version == promotion["previous_champion"]:
        return f"**Champion already.** Version {version} is the same model; no alias moved."
    if promotion["promoted"]:
        return f"**Champion.** Version {version} was promoted."
    if promotion.get("alias") == "challenger":
        return f"**Challenger.** Version {version} is tested against the champion."
    return "**Not promoted.**"


def _describe(column: Column) -> str:
    meaning = column.meaning or column.source
    meaning += f", in {column.unit}" * bool(column.unit)
    return meaning if column.feature else f"{meaning} (accepted and not used)".strip()


def _rows(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    share = rounded(_share(facts), ".1%")
    return {"name": name, "rows": facts["rows"], "share": share, "digest": facts["digest"]}


def _share(facts: dict[str, Any]) -> float:
    return float(facts["positive"] / max(facts["rows"], 1))


def _figure(rows: pd.DataFrame, model: str, metric: str) -> str:
    found = rows[(rows["model"] == model) & (rows["metric"] == metric)]
    value, low, high = found[["value", "low", "high"]].iloc[0]
    if pd.isna(value):
        return "–"  # noqa: RUF001
    # One row, or one score for all rows, has no spread.
    text, low_text, high_text = (rounded(one, ".3f") for one in (value, low, high))
    return text if low == high else f"{text} ({low_text}–{high_text})"  # noqa: RUF001


def _slices(evaluation: pd.DataFrame) -> list[dict[str, Any]]:
    rows = evaluation[(evaluation["model"] == "candidate") & evaluation["slice_key"].notna()]
    return [
        {
            "name": cell(f"{key} = {value}"),
            "rows": int(group["rows"].iloc[0]),
            "cells": [_figure(group, "candidate", metric) for metric in SLICE_METRICS],
        }
        for (key, value), group in rows.groupby(["slice_key", "slice_value"], sort=False)
    ]


def _check(check: dict[str, Any]) -> dict[str, Any]:
    return {
        name: f"{value:.4f}" if isinstance(value, float) else "–" if value is None else value  # noqa: RUF001
        for name, value in check.items()
    }
