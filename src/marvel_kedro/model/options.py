"""The parameters of training, retraining and batch scoring; quick to import."""

from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from marvel_kedro.core.options import Options


class Costs(Options):
    """The costs of the two kinds of wrong predictions, in any unit."""

    false_negative: float = Field(gt=0, allow_inf_nan=False)
    false_positive: float = Field(gt=0, allow_inf_nan=False)


def _one_message(value: Any, read: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401 - any YAML
    try:
        return read(value)
    except ValidationError:
        raise ValueError(
            "must be a number between 0 and 1, max_f1, or costs above 0 such as "
            "{false_negative: 5, false_positive: 1}"
        ) from None


Threshold = Annotated[
    Annotated[float, Field(gt=0, lt=1)] | Literal["max_f1"] | Costs, WrapValidator(_one_message)
]
"""A threshold of the probability, or how one is chosen on out-of-fold probabilities.

`max_f1` is the one with the largest F1 score; costs give the one with the least cost.
"""


class FitOptions(Options):
    """The section `training.fit` of the parameters.

    The defaults suit 1,600 rows as well as 80,000: the number of trees is found on a held-out part
    of the training rows, then the model is fitted to all of them.
    """

    seed: int = Field(42, ge=0, lt=2**31)
    threshold: Threshold = 0.5
    min_rows: int = Field(100, ge=2)
    max_trees: int = Field(1000, ge=1)
    min_trees: int = Field(20, ge=1)
    patience: int = Field(50, ge=1)
    learning_rate: float = Field(0.05, gt=0, le=1)
    leaves: int = Field(16, ge=2, le=131_072)
    min_rows_in_leaf: int = Field(20, ge=1)
    l2: float = Field(10.0, ge=0)
    feature_share: float = Field(0.5, gt=0, le=1)
    row_share: float = Field(0.7, gt=0, le=1)
    rate_smoothing: float = Field(10.0, gt=0)
    folds: int = Field(10, ge=2)
    max_parts: int = Field(40, ge=0)
    min_part_rows: int = Field(12, ge=1)


class EvaluationOptions(Options):
    """The section `training.evaluation` of the parameters."""

    seed: int = Field(42, ge=0)
    resamples: int = Field(500, ge=20)
    confidence: float = Field(0.95, gt=0, lt=1)
    calibration_bins: int = Field(10, ge=2, le=1000)


class GateOptions(Options):
    """The section `training.gate`: the thresholds that a candidate must pass to be promoted.

    Shares are shares of the log loss of the constant model on the test rows, so that they mean the
    same whatever the share of the positive class is. Bounds are one-sided, at `gain_confidence`
    unless another one is named.

    Attributes:
        min_constant_gain: The lower bound of the gain in log loss over the constant model, as a
            share, must exceed this.
        constant_confidence: The confidence of that bound. It is lower than the others: a model that
            is as good as the constant does no harm, and with few rows a useful one looks like it.
        min_regression_gain: The upper bound of that over the logistic regression must be at least
            this: the candidate may not be clearly worse.
        max_ece_share: The calibration error may be at most this share of the rarer class's share,
            besides the error that chance gives a calibrated model on these rows.
        min_roc_auc: An absolute limit; null: none.
        max_log_loss: An absolute limit; null: none.
        gain_metric: The metric of the comparison with the champion.
        min_gain: The lower bound of the gain over the champion must exceed this.
        min_slice_gain: The upper bound of the gain in log loss over the champion, as a share, must
            be at least this in every slice.
        min_slice_rows: Slices with fewer rows are not compared.
    """

    seed: int = Field(42, ge=0)
    min_constant_gain: float = 0.0
    constant_confidence: float = Field(0.8, gt=0.5, lt=1)
    min_regression_gain: float = -0.02
    max_ece_share: float = Field(0.25, ge=0)
    min_roc_auc: float | None = Field(None, ge=0, le=1)
    max_log_loss: float | None = Field(None, gt=0)
    calibration_bins: int = Field(10, ge=2, le=1000)
    gain_metric: Literal["log_loss", "roc_auc"] = "log_loss"
    min_gain: float = 0.0
    gain_confidence: float = Field(0.95, gt=0.5, lt=1)
    resamples: int = Field(1000, ge=100)
    min_slice_gain: float = -0.04
    min_slice_rows: int = Field(50, ge=1)


class TrainingOptions(Options):
    """The section `training` of the parameters."""

    trained_at: AwareDatetime
    origin: dict[str, str]
    max_rows: int = Field(5_000_000, ge=1)
    fit: FitOptions
    evaluation: EvaluationOptions
    gate: GateOptions


class ServingOptions(Options):
    """The section `serving` of the parameters."""

    scored_at: AwareDatetime


class RetrainingOptions(Options):
    """The section `retraining` of the parameters.

    Attributes:
        days: Use labelled records requested within this many days of the newest one; null: all.
        newest_shares: Minimum shares of newly labelled rows to try; past rows are dropped to reach
            one, and 0 keeps them all. The share is used whose model has the least log loss on
            held-out, newly labelled rows of the train side.
        test_on: The rows of the test side that the gate uses: `newest` are the newly labelled ones,
            which resemble future requests; `all` adds those of the past.
        release: The alias of a model that passes the gate: `promote` makes it champion,
            `challenger` starts an A/B test.
    """

    days: float | None = Field(None, gt=0)
    newest_shares: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(
        (0.0, 0.5, 0.9), min_length=1
    )
    test_on: Literal["newest", "all"] = "newest"
    release: Literal["promote", "challenger"] = "promote"
