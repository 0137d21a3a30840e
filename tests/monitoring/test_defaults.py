"""What is measured and tested by default."""

from support.other_tables import CHURN, READINGS
from support.random_log import START

from marvel_kedro.monitoring import defaults
from marvel_kedro.monitoring.options import MonitoringOptions


def test_inputs_are_measured_by_kind_and_those_that_only_go_on_are_not_tested() -> None:
    described = CHURN.model_dump()
    described["columns"]["note"] = {"kind": "text", "feature": False}
    described |= {"group": "note"}  # an input without a feature
    columns = defaults.measured_columns(described)
    assert columns == {
        "balance": "number",
        "order": "category",
        "paperless": "category",
        "joined": "category",
        "tags": "category",
        "client": "category",
        "note": "text",
        "prediction": "category",
        "probability": "number",
    }
    assert defaults.tested_columns(described) == ["balance", "order", "paperless", "client", "note"]
    assert set(defaults.measured_columns(READINGS.model_dump()).values()) == {"number", "category"}
    assert defaults.tested_columns({"name": "unfinished"}) == []
    assert defaults.measured_slices(described) == ["order", "paperless"]
    described |= {"slices": ["order = 'order 1'", "note"]}
    assert defaults.measured_slices(described) == ["order = 'order 1'", "note"]
    given = columns | {"order": None, "client": "text"}
    options = MonitoringOptions.model_validate({"now": START, "columns": given})
    assert "order" not in options.columns
    assert options.columns["client"] == "text"
