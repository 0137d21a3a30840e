"""The section `ab_test` of the parameters."""

from datetime import date
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, model_validator

from marvel_kedro.core.options import Options


class Split(Options):
    """The configured traffic split from a time on: percentages by served entity."""

    since: AwareDatetime
    traffic: dict[str, Annotated[float, Field(ge=0)]]

    @model_validator(mode="after")
    def _has_traffic(self) -> Self:
        if not sum(self.traffic.values()):
            raise ValueError("the traffic split is empty: give percentages by served entity")
        return self


class ExpectedGain(Options):
    """The effect size that the test is tuned to detect, by metric."""

    log_loss: float = Field(0.03, gt=0)
    accuracy: float = Field(0.03, gt=0)


class ABTestOptions(Options):
    """Settings of the A/B test analysis.

    Attributes:
        champion: Name of the served entity that the others are compared with.
        since: First day (UTC) of the requests to analyse; None is the first there is.
        until: Last day.
        max_requests: Fail if the inference table has more rows to load from the engine.
        alpha: Probability of a false verdict, over all challengers and days together.
        expected_gain: Sets how early a difference of a given size is detected. It does not change
            the probability of a false verdict.
        min_clusters: Labelled clients (or requests without a client) that each entity needs before
            there is a verdict.
        split: The configured traffic split; without it the shares are not checked.
        seed: Of the bootstrap of each entity's metrics.
        resamples: Of the bootstrap.
        confidence: Of the bootstrap intervals.
        calibration_bins: Of the calibration error.
    """

    champion: str = "champion"
    since: date | None = None
    until: date | None = None
    max_requests: int = Field(2_000_000, ge=1)
    alpha: float = Field(0.05, gt=0, lt=1)
    expected_gain: ExpectedGain = ExpectedGain()
    min_clusters: int = Field(50, ge=2)
    split: tuple[Split, ...] = ()
    seed: int = Field(42, ge=0)
    resamples: int = Field(500, ge=20)
    confidence: float = Field(0.95, gt=0, lt=1)
    calibration_bins: int = Field(10, ge=2, le=1000)
