"""Decide whether a candidate replaces the champion, and which alias its version gets."""

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from marvel_kedro.model import metrics
from marvel_kedro.model.evaluation import groups
from marvel_kedro.model.metrics import Flags, Floats, Metric, ScorePairs, value_of
from marvel_kedro.model.options import GateOptions
from marvel_kedro.model.registry import LoggedModel, RegisteredModel, Source, Version


@dataclass(frozen=True)
class Contender:
    """A model's probabilities of Alive, shape (rows,), with NaN for rows it was trained on."""

    probabilities: Floats
    source: Source = "file"  # of its training rows


@dataclass(frozen=True)
class Decision:
    """The result of the gate for a candidate trained on data of `source`."""

    promoted: bool
    source: Source
    floor_passed: bool  # the checks that need no champion
    challenges: bool  # whether it may be compared with the champion in an A/B test
    reason: str
    checks: pd.DataFrame  # a row per check: `check`, `value`, `threshold`, `passed`, `detail`


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
    """Compare a candidate with the thresholds and with the champion on the same rows.

    - Without a champion only the absolute checks decide.
    - A model trained on real data replaces a synthetic-data champion without having to beat it; the
      reverse never happens.
    - A tie does not promote.
    - Rows that the champion was trained on, by another split, are excluded from the comparison.

    `alive` are the labels and `slice_columns` the result of `evaluation.slices`, both by row.
    """
    floor = _floor(alive, candidate.probabilities, options)
    comparison: list[_Check] = []
    if champion and candidate.source == champion.source:
        both = np.column_stack([candidate.probabilities, champion.probabilities])
        comparison = _compare(alive, both, slice_columns, options)
    elif champion and candidate.source == "synthetic":
        detail = "a model of synthetic data never replaces one of a real file"
        comparison = [_Check("data_source", np.nan, np.nan, passed=False, detail=detail)]
    failed = [check for check in floor + comparison if not check.passed]
    floor_passed = all(check.passed for check in floor)
    return Decision(
        promoted=not failed,
        source=candidate.source,
        floor_passed=floor_passed,
        challenges=bool(failed) and floor_passed and failed[0].check != "data_source",
        reason=_reason(failed, comparison, had_champion=champion is not None),
        checks=pd.DataFrame(floor + comparison),
    )


def _floor(alive: Flags, candidate: Floats, options: GateOptions) -> list[_Check]:
    pairs = ScorePairs.of(alive, candidate)
    roc_auc = value_of(metrics.roc_auc, pairs)
    loss = value_of(metrics.log_loss, pairs)
    ece = value_of(partial(metrics.ece, bins=options.calibration_bins), pairs)
    return [  # NaN passes no comparison
        _Check("roc_auc", roc_auc, options.min_roc_auc, roc_auc >= options.min_roc_auc, "at least"),
        _Check("log_loss", loss, options.max_log_loss, loss <= options.max_log_loss, "at most"),
        _Check("calibration_error", ece, options.max_ece, ece <= options.max_ece, "at most"),
    ]


def _compare(
    alive: Flags, both: Floats, slice_columns: pd.DataFrame, options: GateOptions
) -> list[_Check]:
    """Check the candidate, first of both, against the champion on rows neither was trained on."""
    unseen = ~np.isnan(both[:, 1])
    enough = _Check(
        "comparable_rows",
        float(unseen.sum()),
        options.min_slice_rows,
        passed=bool(unseen.all() or unseen.sum() >= options.min_slice_rows),
        detail="test rows that the champion was not trained on; at least",
    )
    if not enough.passed:
        return [enough]
    return [
        _gain(alive[unseen], both[unseen], options),
        _worst_slice(alive[unseen], both[unseen], slice_columns[unseen], options),
        *([] if unseen.all() else [enough]),
    ]


def _gain(alive: Flags, both: Floats, options: GateOptions) -> _Check:
    """Check the lower bound of the gain of the first of both, measured on the same resamples."""
    triples, rows = np.unique(np.column_stack([both, alive]), axis=0, return_counts=True)
    is_loss = options.gain_metric == "log_loss"
    measure = partial(_measure, metrics.log_loss if is_loss else metrics.roc_auc, triples)
    counts = metrics.resamples(rows, options.resamples, np.random.default_rng(options.seed))
    gains = np.concatenate([measure(0, drawn) - measure(1, drawn) for drawn in counts])
    gains = -gains if is_loss else gains
    name = f"{options.gain_metric}_gain"
    if not np.nan_to_num(gains).any():
        tie = f"no gain in {options.gain_metric}, a tie with the champion"
        return _Check(name, 0.0, np.nan, passed=False, detail=tie)
    # A resample of few rows may have only one class, where ROC AUC is undefined.
    bound = float(np.nanquantile(gains, 1 - options.gain_confidence))
    detail = f"lower bound, {100 * options.gain_confidence:g}% one-sided; more than"
    return _Check(name, bound, options.min_gain, bound > options.min_gain, detail)


def _measure(function: Metric, triples: Floats, model: int, counts: Floats) -> Floats:
    order = np.argsort(triples[:, model], kind="stable")
    rows = np.ones(len(order), dtype=np.int64)
    pairs = ScorePairs(triples[order, model], triples[order, 2] > 0, rows)
    return function(pairs, counts[:, order])


def _worst_slice(
    alive: Flags, both: Floats, slice_columns: pd.DataFrame, options: GateOptions
) -> _Check:
    """Check the slice whose log loss rises most, from the second of both to the first."""
    worst, where = -np.inf, "no slice has enough rows"
    for key, value, inside in groups(slice_columns):
        if key is None or inside.sum() < options.min_slice_rows:
            continue
        after, before = (
            value_of(metrics.log_loss, ScorePairs.of(alive[inside], scores[inside]))
            for scores in both.T
        )
        if after - before > worst:
            worst, where = after - before, f"{key} = {value}; at most"
    limit = options.max_slice_loss
    return _Check("worst_slice", worst, limit, worst <= limit, where)


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


def promote(
    decision: Decision,
    candidate_version: Version,
    logged_candidate: LoggedModel,
    champion: RegisteredModel | None,
    tested_on: str,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Choose the alias of the candidate's version.

    The record is saved before the aliases: a run killed in between is repeated to set them.

    `candidate_version` is new or found by its digest; `tested_on` is the table of the test rows.

    Returns:
        The record of the decision, and versions by alias: `champion` if the candidate is promoted,
        `challenger` if it passed the absolute checks without beating the champion. A version older
        than the champion, which a training on the same rows finds, does not challenge: it would end
        the A/B test of another version.
    """
    version, previous = candidate_version.version, champion.version if champion else None
    aliases: dict[str, str] = {}
    if version and version != previous:
        if decision.promoted:
            aliases = {"champion": version}
        elif decision.challenges and int(version) > int(previous or 0):
            aliases = {"challenger": version}
    record = {
        "promoted": decision.promoted,
        "reason": decision.reason,
        "model_name": candidate_version.name,
        "model_version": version,
        "previous_champion": previous,
        "model_digest": logged_candidate.digest,
        "run_id": logged_candidate.run_id,
        "data_source": decision.source,
        "tested_on": tested_on,
        "alias": next(iter(aliases), None),
        "checks": json.loads(decision.checks.to_json(orient="records")),
    }
    return record, aliases


def release_as_challenger(
    record: dict[str, Any], aliases: dict[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Release a promoted candidate as challenger, for an A/B test: `retraining.release`."""
    if "champion" not in aliases:
        return record, aliases
    reason = f"{record['reason']}; released as challenger (retraining.release), for an A/B test"
    changed = {"promoted": False, "reason": reason, "alias": "challenger"}
    return record | changed, {"challenger": aliases["champion"]}
