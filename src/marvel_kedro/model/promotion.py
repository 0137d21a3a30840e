"""Whether a candidate replaces the champion."""

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from marvel_kedro.model import metrics
from marvel_kedro.model.evaluation import groups, value_of
from marvel_kedro.model.metrics import Cells, Flags, Floats
from marvel_kedro.model.options import GateOptions

Source = Literal["file", "synthetic"]
_SOURCE = "data_source"


@dataclass(frozen=True)
class Contender:
    """A model as the gate sees it.

    Attributes:
        probabilities: Its probabilities of Alive on the test rows, shape (rows,); NaN where it was
            trained on the row.
        source: What it was trained on.
    """

    probabilities: Floats
    source: Source = "file"


@dataclass(frozen=True)
class Decision:
    """What the gate says.

    Attributes:
        promoted: Whether the candidate becomes champion.
        source: What the candidate was trained on.
        floor_passed: Whether it passed the checks that need no champion.
        challenges: Whether it is worth a comparison in use, though it is not promoted.
        reason: The decision in a sentence.
        checks: One row a check: `check`, `value`, `threshold`, `passed`, `detail`.
    """

    promoted: bool
    source: Source
    floor_passed: bool
    challenges: bool
    reason: str
    checks: pd.DataFrame

    def record(  # noqa: PLR0913 - its fields
        self,
        *,
        model_name: str,
        model_version: str | None,
        previous_champion: str | None,
        model_digest: str,
        run_id: str,
        tested_on: str,
    ) -> dict[str, Any]:
        """Return the record of the decision, from which the model card and the summary are made.

        Args:
            model_name: The registered model.
            model_version: The candidate's version; None if it was not registered.
            previous_champion: The version of the champion before; None if there was none.
            model_digest: The candidate's digest.
            run_id: The MLflow run that logged the candidate.
            tested_on: The table with the test rows.
        """
        return {
            "promoted": self.promoted,
            "reason": self.reason,
            "model_name": model_name,
            "model_version": model_version,
            "previous_champion": previous_champion,
            "model_digest": model_digest,
            "run_id": run_id,
            "data_source": self.source,
            "tested_on": tested_on,
            "checks": json.loads(self.checks.to_json(orient="records")),
        }


@dataclass(frozen=True)
class _Check:
    check: str
    value: float
    threshold: float
    passed: bool
    detail: str


def decide(
    alive: Flags,
    candidate: Contender,
    champion: Contender | None,
    slice_columns: pd.DataFrame,
    options: GateOptions,
) -> Decision:
    """Hold a candidate against the thresholds and against the champion on the same rows.

    Without a champion the absolute checks alone decide; so they do if the candidate was trained on
    a real file and the champion on synthetic data. The other way round the candidate
    is never promoted. A tie does not promote. Rows that the champion was trained on, by another
    split, do not count in the comparison.

    Args:
        alive: The labels, shape (rows,).
        candidate: The model that wants to be promoted.
        champion: The one that is, or None.
        slice_columns: What `evaluation.slices` returns for the rows.
        options: The thresholds.
    """
    floor = _floor(alive, candidate.probabilities, options)
    comparison: list[_Check] = []
    if champion and candidate.source == "synthetic" and champion.source == "file":
        comparison = [_source_check()]
    elif champion and candidate.source == champion.source:
        comparison = _compare(alive, candidate, champion, slice_columns, options)
    checks = floor + comparison
    failed = [check for check in checks if not check.passed]
    floor_passed = all(check.passed for check in floor)
    return Decision(
        promoted=not failed,
        source=candidate.source,
        floor_passed=floor_passed,
        challenges=bool(failed) and floor_passed and failed[0].check != _SOURCE,
        reason=_reason(failed, comparison, had_champion=champion is not None),
        checks=pd.DataFrame(checks),
    )


def _floor(alive: Flags, candidate: Floats, options: GateOptions) -> list[_Check]:
    cells = Cells.of(alive, candidate)
    roc_auc = value_of(metrics.roc_auc, cells)
    log_loss = value_of(metrics.log_loss, cells)
    ece = value_of(metrics.ece(options.calibration_bins), cells)
    return [  # NaN passes no comparison
        _Check("roc_auc", roc_auc, options.min_roc_auc, roc_auc >= options.min_roc_auc, "at least"),
        _Check(
            "log_loss", log_loss, options.max_log_loss, log_loss <= options.max_log_loss, "at most"
        ),
        _Check("calibration_error", ece, options.max_ece, ece <= options.max_ece, "at most"),
    ]


def _source_check() -> _Check:
    return _Check(
        _SOURCE,
        np.nan,
        np.nan,
        passed=False,
        detail="a model of synthetic data never replaces one of a real file",
    )


def _compare(
    alive: Flags,
    candidate: Contender,
    champion: Contender,
    slice_columns: pd.DataFrame,
    options: GateOptions,
) -> list[_Check]:
    """The checks on the rows that neither was trained on."""
    fair = ~np.isnan(champion.probabilities)
    enough = _Check(
        "comparable_rows",
        float(fair.sum()),
        options.min_slice_rows,
        passed=bool(fair.all() or fair.sum() >= options.min_slice_rows),
        detail="test rows that the champion was not trained on; at least",
    )
    if not enough.passed:
        return [enough]
    both = candidate.probabilities[fair], champion.probabilities[fair]
    return [
        _gain(alive[fair], *both, options),
        _worst_slice(alive[fair], *both, slice_columns[fair], options),
        *([] if fair.all() else [enough]),
    ]


def _gain(alive: Flags, candidate: Floats, champion: Floats, options: GateOptions) -> _Check:
    """The lower bound of the gain over the champion, both measured on the same resamples."""
    triples, rows = np.unique(
        np.column_stack([candidate, champion, alive.astype(np.float64)]), axis=0, return_counts=True
    )
    function = metrics.log_loss if options.gain_metric == "log_loss" else metrics.roc_auc
    sign = -1.0 if options.gain_metric == "log_loss" else 1.0
    generator = np.random.default_rng(options.seed)
    gains = np.concatenate(
        [
            sign * (_measure(function, triples, 0, counts) - _measure(function, triples, 1, counts))
            for counts in metrics.resamples(rows, options.resamples, generator)
        ]
    )
    if not np.nan_to_num(gains).any():
        tie = f"no gain in {options.gain_metric}, a tie with the champion"
        return _Check(f"{options.gain_metric}_gain", 0.0, np.nan, passed=False, detail=tie)
    # A resample of few rows may have one class only, in which no area under the curve is defined.
    bound = float(np.nanquantile(gains, 1 - options.gain_confidence))
    return _Check(
        f"{options.gain_metric}_gain",
        bound,
        options.min_gain,
        bound > options.min_gain,
        f"lower bound, {options.gain_confidence:.0%} one-sided; more than",
    )


def _measure(function: metrics.Metric, triples: Floats, model: int, counts: Floats) -> Floats:
    order = np.argsort(triples[:, model], kind="stable")
    cells = Cells(triples[order, model], triples[order, 2] > 0, np.ones(len(order), dtype=np.int64))
    return function(cells, counts[:, order])


def _worst_slice(
    alive: Flags,
    candidate: Floats,
    champion: Floats,
    slice_columns: pd.DataFrame,
    options: GateOptions,
) -> _Check:
    """The slice whose log loss rises most."""
    worst, where = -np.inf, "no slice has enough rows"
    for key, value, inside in groups(slice_columns):
        if key is None or inside.sum() < options.min_slice_rows:
            continue
        rise = value_of(metrics.log_loss, Cells.of(alive[inside], candidate[inside])) - value_of(
            metrics.log_loss, Cells.of(alive[inside], champion[inside])
        )
        if rise > worst:
            worst, where = rise, f"{key} = {value}; at most"
    return _Check(
        "worst_slice", worst, options.max_slice_loss, worst <= options.max_slice_loss, where
    )


def _reason(failed: list[_Check], comparison: list[_Check], *, had_champion: bool) -> str:
    if failed:
        return "Failed: " + "; ".join(
            check.detail
            if np.isnan(check.threshold)
            else f"{check.check} {check.value:.4f} ({check.detail} {check.threshold:g})"
            for check in failed
        )
    if comparison:
        gain = comparison[0]
        return f"Better than the champion: {gain.check} is at least {gain.value:.4f}"
    if had_champion:
        return "The champion was trained on synthetic data; the absolute checks passed"
    return "There was no champion; the absolute checks passed"
