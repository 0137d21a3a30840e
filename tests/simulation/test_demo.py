"""`kedro demo`, whole: what it tells is what is in the tables and the registry."""

import pyarrow.parquet as pq
from support.project import Project


def test_ten_days(project: Project) -> None:
    away = project.path / "away"  # what these say is left alone
    outcome = project.kedro("demo", MARVEL_FILES=str(away), MLFLOW_TRACKING_URI=f"sqlite:///{away}")
    assert outcome.status == 0, outcome.output
    said = " ".join(outcome.output.split())
    assert "alert realised_roc_auc" in said
    assert "new labels: version 2" in said
    assert "version 2 is promoted" in said
    assert outcome.output.count("  calm\n") >= 5, "a calm week was none"
    folder = project.path / "data" / "demo"
    assert (folder / "data/08_reporting/monitoring_report.html").stat().st_size > 10_000
    assert str(Project(folder).champion().version) == "2"

    rows = pq.read_table(folder / "data/08_reporting/quality_estimates.parquet").to_pylist()
    quality = {
        (row["window"]["start"].day, row["model_version"]): row["realised"]
        for row in rows
        if row["metric"] == "roc_auc" and row["slice_key"] is None
    }
    calm, drifted, back = quality[8, "1"], quality[11, "1"], quality[14, "2"]
    assert drifted < calm - 0.15
    assert back > drifted + 0.15
    health = pq.read_table(folder / "data/08_reporting/health_metrics.parquet").to_pylist()
    by_entity = {
        row["served_entity_name"]: row for row in health if row["window"]["start"].day == 12
    }
    assert 0.3 < by_entity["challenger"]["requests"] / 300 < 0.7
    assert sum(row["requests"] for row in health) == 3000

    assert not away.exists()

    again = project.kedro("demo", "--folder", "src")
    assert again.status == 1
    assert "src is not empty, and no demo" in " ".join(again.output.split())
