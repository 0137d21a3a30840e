"""Run the main job as a plain script: the same functions, files instead of Kedro and MLflow.

Usage: python plain_job.py RAW FOLDER. Prints the time and the peak memory of each stage.
"""

from stages import Stages

watch = Stages()

import json  # noqa: E402 - what follows is the stage of the imports
import sys  # noqa: E402
from datetime import UTC, datetime  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pandas as pd  # noqa: E402
from table import TABLE  # noqa: E402

from marvel_kedro.core import page  # noqa: E402
from marvel_kedro.model import baselines, evaluation, fit, model_card, plots, promotion  # noqa: E402
from marvel_kedro.model.options import EvaluationOptions, FitOptions, GateOptions, TrainingOptions  # noqa: E402
from marvel_kedro.model.portable.predictor import TabularModel  # noqa: E402
from marvel_kedro.model.registry import LoggedModel, Version  # noqa: E402
from marvel_kedro.pipelines.processing import nodes as processing  # noqa: E402
from marvel_kedro.table import cleaning, contracts, rejected_rows  # noqa: E402
from marvel_kedro.table.frames import digest  # noqa: E402
from marvel_kedro.table.options import ProcessingOptions  # noqa: E402

OPTIONS = ProcessingOptions()


def main(raw: Path, folder: Path) -> None:
    """Run the job."""
    watch.lap("imports")
    characters, train, test = process(raw, folder)
    watch.lap("processing")
    model = fit.fit(train, TABLE, FitOptions())
    watch.lap("fit_model")
    evaluate(folder, model, train, test)
    model.save(folder / "model")
    watch.lap("evaluation, gate, card")
    champion = TabularModel.load(folder / "model")
    predictions = champion.predict(characters).assign(
        page_id=characters["page_id"],
        model_name="marvel_characters",
        model_version="1",
        scored_at=pd.Timestamp(datetime.now(UTC)).as_unit("us"),
    )
    contract = contracts.schema("Predictions", TABLE)
    written = contract.validate(predictions[list(contract.columns)])
    written.to_parquet(folder / "predictions.parquet")
    watch.lap("serving")
    watch.print()


def process(raw: Path, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read, clean, check, split, save."""
    rows = cleaning.read_source(pd.read_csv(raw, dtype="str", keep_default_na=False), TABLE)
    characters: pd.DataFrame = cleaning.select_usable(rows, TABLE)
    rejected: pd.DataFrame = rejected_rows.select_rejected(rows)
    train, test, _ = processing.split_records(characters, TABLE, OPTIONS)
    for name, table in (("records", characters), ("train_set", train), ("test_set", test)):
        contracts.schema("Records", TABLE).validate(table).to_parquet(folder / f"{name}.parquet")
    rejected.to_parquet(folder / "rejected_records.parquet")
    quality = processing.summarise_quality(rows, TABLE, OPTIONS)
    (folder / "data_quality.json").write_text(json.dumps(quality))
    # The next step reads the files, as it does in Kedro and in a script of several steps.
    return tuple(  # type: ignore[return-value]
        pd.read_parquet(folder / f"{name}.parquet") for name in ("records", "train_set", "test_set")
    )


def evaluate(folder: Path, model: TabularModel, train: pd.DataFrame, test: pd.DataFrame) -> None:
    """Evaluate, decide, draw, write the card."""
    alive = (test["alive"] == "Alive").to_numpy()
    slices = evaluation.slices(test, TABLE)
    scores: dict[str, Any] = {
        "candidate": model.probabilities(test),
        "logistic_regression": baselines.logistic_regression(train, test, TABLE),
        "constant": baselines.constant(train, TABLE),
    }
    if (folder / "model").exists():
        scores["champion"] = TabularModel.load(folder / "model").probabilities(test)
    table = slices.assign(page_id=test["page_id"], alive=alive, **scores)
    table.to_parquet(folder / "test_scores.parquet")
    by_model = {name: table[name].to_numpy() for name in scores}
    options = EvaluationOptions()
    measured = evaluation.evaluate(alive, by_model, slices, options, model.threshold)
    measured.to_parquet(folder / "evaluation.parquet")
    contender = promotion.Contender(by_model["candidate"])
    champion = promotion.Contender(by_model["champion"]) if "champion" in by_model else None
    baseline = (by_model["constant"], by_model["logistic_regression"])
    rows = promotion.MeasuredRows(alive, *baseline, slices)
    decision = promotion.decide(contender, champion, rows, GateOptions())
    figures = plots.draw_all(table, measured, model, TABLE, options.calibration_bins)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", format="png", dpi=110)
    version, logged = Version("marvel_characters", "1"), LoggedModel("", "", model.digest)
    record, _ = promotion.promote(decision, version, logged, None, "test_set")
    tables = {
        name: {
            "digest": digest(rows),
            "rows": len(rows),
            "positive": int((rows["alive"] == "Alive").sum()),
            "data_source": "synthetic",
        }
        for name, rows in (("train_set", train), ("test_set", test))
    }
    training = TrainingOptions(
        trained_at=datetime.now(UTC),
        origin={},
        fit=FitOptions(),
        evaluation=options,
        gate=GateOptions(),
    )
    markdown = model_card.render_markdown(
        record, tables, measured, model.threshold, TABLE, training
    )
    (folder / "model_card.md").write_text(markdown)
    (folder / "model_card.html").write_text(page.render(markdown, figures))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
