"""Decide whether a candidate replaces the champion, and which alias its version gets."""

import json
from dataclasses import dataclass
from functools import cached_property, partial
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
    """A model's probabilities, shape (rows,), with NaN for rows it was trained on."""

    probabilities: Floats
    source: Source = "file"  # of its training rows
    other_table: str = ""  # why it is no rival, if its question is that of another table


@dataclass(frozen=True)
class MeasuredRows:
    """What the models of a comparison share: labels, baselines and slices, by row.

    `constant` and `regression` are probabilities; `slice_columns` is the result of
    `evaluation.slices`.
    """

    positive: Flags
    constant: Floats
    regression: Floats
    slice_columns: pd.DataFrame

    @cached_property
    def unit(self) -> float:
        """The log loss of the constant model, of which gains are shares."""
        return float(metrics.losses(self.positive, self.constant).mean())

    def gains(self, model: Floats, other: Floats) -> Floats:
        """Compute by row the gain of a model over another in log loss, as a share."""
        return (
            metrics.losses(self.positive, other) - metrics.losses(self.positive, model)
        ) / self.unit


@dataclass(frozen=True)
class Decision:
    """The result of the gate for a candidate trained on data of `source`."""

    promoted: bool
    source: Source
    floor_passed: bool  # the checks that need no champion
    challenges: bool  # whether it may be compared with the champion in an A/B test
    has_rival: bool  # a champion of the same table
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
    candidate: Contender, champion: Contender | None, rows: MeasuredRows, options: GateOptions
) -> Decision:
    """Compare a candidate with the baselines and with the champion on the same rows.

    - Without a champion, or with one of another table, only the baselines and limits decide.
    - A model trained on real data replaces a synthetic-data champion without having to beat it; the
      reverse never happens.
    - A tie does not promote.
    - Rows that the champion was trained on, by another split, are excluded from the comparison.
    """
    floor = _floor(candidate.probabilities, rows, options)
    comparison: list[_Check] = []
    if champion and candidate.source == "synthetic" and champion.source == "file":
        detail = "a model of synthetic data never replaces one of a real file"
        comparison = [_Check("data_source", np.nan, np.nan, passed=False, detail=detail)]
    elif champion and not champion.other_table and candidate.source == champion.source:
        both = np.column_stack([candidate.probabilities, champion.probabilities])
        comparison = _compare(both, rows, options)
    failed = [check for check in floor + comparison if not check.passed]
    floor_passed = all(check.passed for check in floor)
    return Decision(
        promoted=not failed,
        source=candidate.source,
        floor_passed=floor_passed,
        challenges=bool(failed) and floor_passed and failed[0].check != "data_source",
        has_rival=champion is not None and not champion.other_table,
        reason=_reason(failed, comparison, champion),
        checks=pd.DataFrame(floor + comparison),
    )


def _floor(candidate: Floats, rows: MeasuredRows, options: GateOptions) -> list[_Check]:
    """Check the candidate without a champion: harm and use must be more than chance.

    NaN passes no comparison.
    """
    pairs = ScorePairs.of(rows.positive, candidate)
    low, _ = _bounds(rows.gains(candidate, rows.constant), options.constant_confidence)
    _, high = _bounds(rows.gains(candidate, rows.regression), options.gain_confidence)
    at_least, ece = options.min_regression_gain, partial(metrics.ece, bins=options.calibration_bins)
    error, most = value_of(ece, pairs), _calibration_limit(candidate, rows, options)
    share = "as a share of the constant's log loss"
    found = [
        _Check(
            "constant_gain",
            low,
            options.min_constant_gain,
            low > options.min_constant_gain,
            f"gain in log loss over the constant model, {share}: lower bound at "
            f"{100 * options.constant_confidence:g}%; more than",
        ),
        _Check(
            "regression_gain",
            high,
            at_least,
            high >= at_least,
            f"gain in log loss over the logistic regression, {share}: upper bound at "
            f"{100 * options.gain_confidence:g}%; at least",
        ),
        _Check(
            "calibration_error",
            error,
            most,
            error <= most,
            "a share of the rarer class and chance on these rows; at most",
        ),
    ]
    if (limit := options.min_roc_auc) is not None:
        value = value_of(metrics.roc_auc, pairs)
        found.append(_Check("roc_auc", value, limit, value >= limit, "at least"))
    if (limit := options.max_log_loss) is not None:
        value = value_of(metrics.log_loss, pairs)
        found.append(_Check("log_loss", value, limit, value <= limit, "at most"))
    return found


def _bounds(gains: Floats, confidence: float) -> tuple[float, float]:
    """Return the one-sided t bounds of the mean of paired gains; NaN with a single row."""
    if len(gains) < 2:  # noqa: PLR2004 - a spread needs two
        return np.nan, np.nan
    from scipy.stats import t  # noqa: PLC0415 - monitoring needs no SciPy

    reach = t.ppf(confidence, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    return float(gains.mean() - reach), float(gains.mean() + reach)


def _calibration_limit(candidate: Floats, rows: MeasuredRows, options: GateOptions) -> float:
    """Return the largest calibration error: a share of the rarer class, and what chance adds.

    By chance the labels of a calibrated model differ from its probabilities, in each bin by a
    nearly normal sum.
    """
    share, bins = float(rows.constant.mean()), options.calibration_bins
    member = np.minimum((candidate * bins).astype(int), bins - 1)
    deviation = np.sqrt(np.bincount(member, candidate * (1 - candidate), minlength=bins))
    drawn = np.random.default_rng(options.seed).normal(0, deviation, (options.resamples, bins))
    errors = np.abs(drawn).sum(axis=1) / max(len(candidate), 1)
    chance = float(np.quantile(errors, options.gain_confidence))
    return options.max_ece_share * min(share, 1 - share) + chance


def _compare(both: Floats, rows: MeasuredRows, options: GateOptions) -> list[_Check]:
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
        _gain(rows.positive[unseen], both[unseen], options),
        _worst_slice(rows.gains(*both.T)[unseen], rows.slice_columns[unseen], options),
        *([] if unseen.all() else [enough]),
    ]


def _gain(positive: Flags, both: Floats, options: GateOptions) -> _Check:
    """Check the lower bound of the gain of the first of both, measured on the same resamples."""
    triples, rows = np.unique(np.column_stack([both, positive]), axis=0, return_counts=True)
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


def _worst_slice(gains: Floats, slice_columns: pd.DataFrame, options: GateOptions) -> _Check:
    """Check the slice with the least gain over the champion, by its upper bound."""
    worst, where = np.inf, "no slice has enough rows"
    for key, value, inside in groups(slice_columns):
        if key is None or inside.sum() < options.min_slice_rows:
            continue
        _, high = _bounds(gains[inside], options.gain_confidence)
        if high < worst:
            worst = high
            where = f"gain over the champion where {key} = {value}, upper bound; at least"
    limit = options.min_slice_gain
    return _Check("worst_slice", worst, limit, worst >= limit, where)


def _reason(failed: list[_Check], comparison: list[_Check], champion: Contender | None) -> str:
    if failed:
        text = "Failed: " + "; ".join(
            check.detail
            if np.isnan(check.threshold)
            else f"{check.check} {check.value:.4f} ({check.detail} {check.threshold:.4g})"
            for check in failed
        )
    elif comparison:
        gain = comparison[0]
        return f"Better than the champion: {gain.check} is at least {gain.value:.4f}"
    elif champion is None:
        return "There was no champion; the other checks passed"
    elif champion.other_table:
        text = "The other checks passed"
    else:
        return "The champion was trained on synthetic data; the checks against the baselines passed"
    if champion and champion.other_table:
        text += f". No comparison with the champion: {champion.other_table}"
    return text


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
        `challenger` if it passed the other checks without beating the champion. A version older
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
