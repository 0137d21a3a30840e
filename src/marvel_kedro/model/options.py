"""The parameters of training, retraining and batch scoring; quick to import."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from marvel_kedro.core.options import Options


class FitOptions(Options):
    """The section `training.fit` of the parameters.

    The defaults suit 1,600 rows as well as 80,000: the number of trees is found on a held-out part
    of the training rows, then the model is fitted to all of them.
    """

    seed: int = Field(42, ge=0, lt=2**31)
    threshold: float = Field(0.5, gt=0, lt=1)
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
    """The section `training.gate`: the thresholds that a candidate must pass to be promoted."""

    seed: int = Field(42, ge=0)
    min_roc_auc: float = Field(0.55, ge=0, le=1)
    max_log_loss: float = Field(0.60, gt=0)
    max_ece: float = Field(0.10, ge=0, le=1)
    calibration_bins: int = Field(10, ge=2, le=1000)
    gain_metric: Literal["log_loss", "roc_auc"] = "log_loss"
    min_gain: float = 0.0
    gain_confidence: float = Field(0.95, gt=0.5, lt=1)
    resamples: int = Field(1000, ge=100)
    max_slice_loss: float = Field(0.02, ge=0)
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
