"""When an alert is raised: the section `alerting` of the parameters."""

from typing import Literal

import pyarrow as pa
from pydantic import AwareDatetime, Field, model_validator

from marvel_kedro.core.options import Options
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting import expressions

Table = Literal["profile_metrics", "drift_metrics", "quality_estimates", "health_metrics"]
Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")

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


class Rule(Options):
    """When an alert is raised about the rows of a table of metrics.

    Attributes:
        table: The table.
        metric: An expression of its columns, see `expressions.values`.
        comparison: How the metric stands to the threshold when something is wrong.
        threshold: In the unit of the metric. With `test` it is the size of the effect below which
            a difference, however certain, does not matter.
        test: An expression of p-values. The rule fires if, besides, the p-value that is adjusted
            over all columns is at most `alerting.alpha`.
        columns: Of drift and profile: which. `all` is every column, not the rows about all of them.
        slices: Of drift, profile and quality: whether slices are looked at as well.
        drift_type: Of drift: held against the baseline, or against the window before.
        estimate_of: Of quality: which metric.
        by: Of health: each served entity, or the endpoint as a whole. A window in which nobody
            asked the endpoint counts as one of 0 requests.
        granularity: Windows of which length are looked at.
        windows: How many in a row have to be so.
        min_records: A window with fewer says nothing: it neither fires nor calms.
        records: The column of the table that `min_records` is about; by default its number of rows
            or requests, and for drift that of the column in `profile_metrics`.
        severity: How bad it is.
        meaning: What the metric is, in the message.
        retrain: Whether it is a reason to train a new model.
    """

    table: Table
    metric: str
    comparison: Literal[">", ">=", "<", "<="] = ">="
    threshold: float
    test: str | None = None
    columns: Literal["all"] | list[str] = "all"
    slices: bool = False
    drift_type: Literal["BASELINE", "CONSECUTIVE"] = "BASELINE"
    estimate_of: Literal["roc_auc", "accuracy", "log_loss"] | None = None
    by: Literal["endpoint", "entity"] = "endpoint"
    granularity: str = "1 day"
    windows: int = Field(1, ge=1)
    min_records: int = Field(0, ge=0)
    records: str | None = None
    severity: Severity = "warning"
    meaning: str | None = None
    retrain: bool = False

    @property
    def counted(self) -> str:
        """The column that `min_records` is about."""
        return self.records or _RECORDS[self.table]

    @model_validator(mode="after")
    def _is_of_its_table(self) -> "Rule":
        for key, owners in (
            ("columns", ("drift_metrics", "profile_metrics")),
            ("slices", ("drift_metrics", "profile_metrics", "quality_estimates")),
            ("drift_type", ("drift_metrics",)),
            ("test", ("drift_metrics",)),
            ("estimate_of", ("quality_estimates",)),
            ("by", ("health_metrics",)),
        ):
            if key in self.model_fields_set and self.table not in owners:
                raise ValueError(f"{key} is for {' and '.join(owners)}, not for {self.table}")
        if self.table == "quality_estimates" and self.estimate_of is None:
            raise ValueError("a rule about quality_estimates needs estimate_of")
        if self.table == "drift_metrics" and self.records is not None:
            raise ValueError("the records of a drift are those of its column in profile_metrics")
        return self

    @model_validator(mode="after")
    def _can_be_worked_out(self) -> "Rule":
        for expression in filter(None, (self.metric, self.test)):
            expressions.check(expression, SCHEMAS[self.table])
        if self.records is not None:
            expressions.check(self.records, SCHEMAS[self.table])
        raw = [name for name in expressions.columns(self.metric) if name.endswith("pvalue")]
        if raw:
            raise ValueError(
                f"a rule about {raw[0]} alone would raise false alarms over many columns: give it "
                "as `test`, which is adjusted, and a size of the effect as `metric`"
            )
        return self


class NotificationOptions(Options):
    """How alerts are told to people.

    Attributes:
        format: `json` for programs, `slack` for a channel of Slack or what takes its messages.
        min_severity: Lesser alerts are in the table alone.
        seconds: That one try may take.
        tries: How often it is tried.
        pause_seconds: Before the second try; before each later one twice as long as before.
    """

    format: Literal["json", "slack"] = "slack"
    min_severity: Severity = "warning"
    seconds: float = Field(10, gt=0)
    tries: int = Field(3, ge=1)
    pause_seconds: float = Field(1, ge=0)


class DecisionOptions(Options):
    """When alerts lead to a new training.

    Attributes:
        cooldown_days: After a training, whatever came of it, none for so long.
        min_labelled_records: Characters whose label has become known since the last one.
    """

    cooldown_days: float = Field(7, ge=0)
    min_labelled_records: int = Field(500, ge=0)


class AlertingOptions(Options):
    """The section `alerting` of the parameters.

    Attributes:
        now: The time of the run: windows that end later are not complete.
        alpha: Chance of a false alarm of the rules with a `test`, over all columns of a window
            and model version together.
        expires_after_windows: An alert whose model, slice or column has not been seen in so many
            of the newest windows is resolved.
        rules: By name; null turns one off.
        notification: How people are told.
        retrain: When a new model is trained.
    """

    now: AwareDatetime
    alpha: float = Field(0.05, gt=0, lt=1)
    expires_after_windows: int = Field(3, ge=1)
    rules: dict[str, Rule | None] = Field(default_factory=dict)
    notification: NotificationOptions = NotificationOptions()
    retrain: DecisionOptions = DecisionOptions()

    @property
    def active(self) -> dict[str, Rule]:
        """The rules that are not turned off."""
        return {name: rule for name, rule in self.rules.items() if rule is not None}
