"""Alert rules: the section `alerting` of the parameters."""

from typing import Literal

import pyarrow as pa
from pydantic import AwareDatetime, Field, field_validator, model_validator

from marvel_kedro.core.options import Options
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting import expressions

Table = Literal["profile_metrics", "drift_metrics", "quality_estimates", "health_metrics"]
Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")


def severity_rank(severity: str | None) -> int:
    """Return the rank of a severity; one that this version does not know ranks highest."""
    known: tuple[str | None, ...] = SEVERITIES
    return known.index(severity) if severity in known else len(known)


SCHEMAS: dict[Table, pa.Schema] = {
    "profile_metrics": tables.PROFILE_METRICS,
    "drift_metrics": tables.DRIFT_METRICS,
    "quality_estimates": tables.QUALITY_ESTIMATES,
    "health_metrics": tables.HEALTH_METRICS,
}
_RECORDS: dict[Table, str] = {
    "profile_metrics": "count",
    "drift_metrics": "count",  # of the same window and column in profile_metrics
    "quality_estimates": "records",
    "health_metrics": "requests",
}
_TABLES_BY_KEY: dict[str, tuple[Table, ...]] = {
    "columns": ("drift_metrics", "profile_metrics"),
    "slices": ("drift_metrics", "profile_metrics", "quality_estimates"),
    "drift_type": ("drift_metrics",),
    "test": ("drift_metrics",),
    "estimate_of": ("quality_estimates",),
    "by": ("health_metrics",),
}
"""Keys of a rule that apply to some tables only."""


class Rule(Options):
    """A condition on the rows of a table of metrics that raises an alert."""

    table: Table
    metric: str  # an expression of the table's columns, see `expressions.values`
    comparison: Literal[">", ">=", "<", "<="] = ">="  # of the metric with the threshold
    # In the unit of the metric. With `test` it is the effect size below which a difference does not
    # matter, even if it is statistically significant.
    threshold: float
    # An expression of p-values. The rule fires only if the p-value, adjusted over all columns, is
    # also at most `alerting.alpha`.
    test: str | None = None
    # Drift and profile only: the columns to check. `all` is every column, without the rows about
    # the table as a whole.
    columns: Literal["all"] | list[str] = "all"
    slices: bool = False  # drift, profile and performance estimates only: also check slices
    # Drift only: compare with the baseline or with the previous window.
    drift_type: Literal["BASELINE", "CONSECUTIVE"] = "BASELINE"
    # Performance estimates only: the metric that is estimated.
    estimate_of: Literal["roc_auc", "accuracy", "log_loss"] | None = None
    # Operational metrics only: check each served entity, or the endpoint as a whole. For the
    # endpoint, a window without requests counts as a window of 0 requests.
    by: Literal["endpoint", "entity"] = "endpoint"
    granularity: str = "1 day"
    windows: int = Field(1, ge=1)  # consecutive ones that must meet the condition
    # A window with fewer records is skipped: it neither fires nor resolves.
    min_records: int = Field(0, ge=0)
    # The column that `min_records` applies to. Default: the table's number of rows or requests; for
    # drift, that of the column in `profile_metrics`.
    records: str | None = None
    severity: Severity = "warning"
    # Sentence of the message, with {value} and perhaps {column}; by default the metric is {value}.
    meaning: str | None = None
    retrain: bool = False  # the alert is a reason to retrain the model

    @property
    def records_column(self) -> str:
        """Return the column that `min_records` applies to."""
        return self.records or _RECORDS[self.table]

    @model_validator(mode="after")
    def _check(self) -> "Rule":
        for key, allowed in _TABLES_BY_KEY.items():
            if key in self.model_fields_set and self.table not in allowed:
                raise ValueError(f"{key} is for {' and '.join(allowed)}, not for {self.table}")
        if self.table == "quality_estimates" and self.estimate_of is None:
            raise ValueError("a rule about quality_estimates needs estimate_of")
        if self.table == "drift_metrics" and self.records is not None:
            raise ValueError(
                "drift_metrics takes no `records`: min_records counts the column's rows in "
                "profile_metrics"
            )
        for expression in filter(None, (self.metric, self.test, self.records)):
            expressions.check(expression, SCHEMAS[self.table])
        pvalues = [name for name in expressions.columns(self.metric) if name.endswith("pvalue")]
        if pvalues:
            raise ValueError(
                f"a rule on {pvalues[0]} alone would raise false alarms over many columns: give it "
                "as `test`, which is adjusted, and an effect size as `metric`"
            )
        return self

    @field_validator("meaning")
    @classmethod
    def _is_sentence(cls, meaning: str | None) -> str | None:
        try:
            text = (meaning or "{value}").format(value="<value>", column="")
        except (AttributeError, IndexError, KeyError, ValueError) as error:
            raise ValueError(
                f"write a sentence with {{value}}, perhaps {{column}}: {error!r}"
            ) from None
        if "<value>" not in text:
            raise ValueError("the sentence lacks {value}")
        return meaning


class NotificationOptions(Options):
    """Delivery of alerts to the webhook."""

    format: Literal["json", "slack"] = "slack"  # for programs, or for Slack and compatible services
    min_severity: Severity = "warning"  # alerts below it are only written to the table
    seconds: float = Field(10, gt=0)  # timeout of one attempt
    tries: int = Field(3, ge=1)
    pause_seconds: float = Field(1, ge=0)  # before the second attempt; doubles before later ones


class RetrainingPolicyOptions(Options):
    """Conditions under which alerts lead to retraining."""

    # Days after the start of a retraining, whatever its outcome, in which no other one starts.
    cooldown_days: float = Field(7, ge=0)
    min_labelled_records: int = Field(500, ge=0)  # labelled since the last retraining


class AlertingOptions(Options):
    """The section `alerting` of the parameters."""

    now: AwareDatetime  # time of the run; windows that end later are incomplete
    # Probability of a false alarm of the rules with a `test`, over all columns of a window and
    # model version together.
    alpha: float = Field(0.05, gt=0, lt=1)
    # Resolve an alert whose model, slice or column is absent from this number of newest windows.
    expires_after_windows: int = Field(3, ge=1)
    rules: dict[str, Rule | None] = Field(default_factory=dict)  # by name; null turns one off
    notification: NotificationOptions = NotificationOptions()
    retrain: RetrainingPolicyOptions = RetrainingPolicyOptions()

    @property
    def active(self) -> dict[str, Rule]:
        """Return the rules that are not turned off."""
        return {name: rule for name, rule in self.rules.items() if rule is not None}
