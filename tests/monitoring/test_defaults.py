"""What is measured and tested by default."""

from support.other_tables import CHURN, READINGS
from support.random_log import START

from marvel_kedro.monitoring.defaults import monitored
from marvel_kedro.monitoring.options import MonitoringOptions


def test_inputs_are_measured_by_kind_and_those_that_only_go_on_are_not_tested() -> None:
    described = CHURN.model_dump()
    described["columns"]["note"] = {"kind": "text", "feature": False}
    described |= {"group": "note"}  # an input without a feature
    columns = monitored(described, "columns")
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
    assert monitored(described, "tested") == ["balance", "order", "paperless", "client", "note"]
    assert set(monitored(READINGS.model_dump(), "columns").values()) == {"number", "category"}
    assert monitored({"name": "unfinished"}, "tested") == []
    given = columns | {"order": None, "client": "text"}
    options = MonitoringOptions.model_validate({"now": START, "columns": given})
    assert "order" not in options.columns
    assert options.columns["client"] == "text"
