"""The metrics that `monitoring` exports are those of its tables."""

import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.exported_metrics import parse_text
from support.inference_traffic import make_traffic
from support.monitoring_state import metrics
from support.otlp_collector import collecting
from support.project import Project

from marvel_kedro.monitoring.tables import ALERTS
from marvel_kedro.serving.telemetry.external_metrics import ExternalMetrics

NOW, LAST_DAY = "2026-01-20T00:00:00+00:00", pd.Timestamp("2026-01-03", tz="UTC")
SERIES = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture(scope="module")
def watched(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Make a project with three monitored days of requests."""
    folder = tmp_path_factory.mktemp("exported") / "project"
    shutil.copytree(trained, folder)
    project = Project(folder)
    make_traffic(days=3, requests_a_day=120, challenger_share=0.0).write(folder / "data")
    project.run("monitoring", monitoring={"now": NOW})
    return project


def page(project: Project) -> dict[SERIES, float]:
    return parse_text((project.path / "data/08_reporting/monitoring.prom").read_text("utf-8"))


def by(found: dict[SERIES, float], name: str, label: str, **labels: str) -> dict[str, float]:
    """Return values by one label, of the series that have the other labels."""
    return {
        dict(pairs)[label]: value
        for (series, pairs), value in found.items()
        if series == f"marvel_monitoring_{name}" and labels.items() <= dict(pairs).items()
    }


def last_day(project: Project, name: str) -> pd.DataFrame:
    rows = [
        row
        for row in metrics(project, name).to_pylist()
        if row["window"] and row["window"]["start"] == LAST_DAY and row.get("slice_key") is None
    ]
    return pd.DataFrame(rows)


def test_prometheus_text_has_the_values_of_the_tables(watched: Project) -> None:
    found = page(watched)
    (health,) = last_day(watched, "health_metrics").to_dict("records")
    outcomes = by(found, "requests", "outcome", served_entity="champion", granularity="1 day")
    assert outcomes == {name: health[name] for name in outcomes}
    assert sum(outcomes.values()) == health["requests"] == 120
    drifts = last_day(watched, "drift_metrics")
    drifts = drifts[drifts["drift_type"] == "BASELINE"].set_index("column_name")
    psi = by(
        found, "drift", "column",
        statistic="population_stability_index", drift_type="BASELINE", model_version="1",
    )  # fmt: skip
    expected = drifts["population_stability_index"].dropna().to_dict()
    assert psi == expected
    assert {"height", "probability"} <= set(expected)
    estimates = last_day(watched, "quality_estimates").set_index("metric")
    for source, column in (("estimate", "estimate"), ("estimate_high", "high")):
        exported = by(found, "quality", "metric", source=source)
        assert exported == estimates[column].to_dict()
        assert set(exported) == {"roc_auc", "accuracy", "log_loss"}
    for source in ("realised", "baseline"):
        exported = by(found, "quality", "metric", source=source)
        assert {name: exported[name] for name in estimates.index} == estimates[source].to_dict()
        assert "f1_score" in exported
    end = by(found, "last_complete_window_timestamp_seconds", "granularity")
    assert end == {"1 day": (LAST_DAY + pd.Timedelta(days=1)).timestamp()}


def test_server_accepts_the_prometheus_text(watched: Project) -> None:
    path = watched.path / "data/08_reporting/monitoring.prom"
    assert ExternalMetrics(path).read() == path.read_bytes()


def test_open_alerts_are_exported_and_every_sample_is_sent_to_the_collector(
    watched: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [{"rule": "input_drift", "severity": "warning", "state": "open"}]
    pq.write_table(
        pa.Table.from_pylist(found, schema=ALERTS),
        watched.path / "data/08_reporting/alerts.parquet",
    )
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        watched.run("exporting", monitoring={"now": NOW})
    written = page(watched)
    assert by(written, "alerts_open", "rule", severity="warning") == {"input_drift": 1}
    points = [point for _, metric in collector.metrics for point in metric.gauge.data_points]
    assert len(points) == len(written)
