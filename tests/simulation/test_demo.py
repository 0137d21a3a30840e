"""`kedro demo`, whole: its output agrees with the tables and the registry."""

import pyarrow.parquet as pq
from support.project import Project


def test_demo_ends_with_promotion_and_recovered_performance(project: Project) -> None:
    away = project.path / "away"  # the variables are ignored
    outcome = project.kedro("demo", MARVEL_FILES=str(away), MLFLOW_TRACKING_URI=f"sqlite:///{away}")
    assert outcome.status == 0, outcome.output
    output = " ".join(outcome.output.split())
    assert "alert realised_roc_auc" in output
    assert "new labels: version 2" in output
    assert "version 2 is promoted" in output
    assert outcome.output.count("  calm\n") >= 5, "fewer than five calm days"
    folder = project.path / "data" / "demo"
    assert (folder / "data/08_reporting/monitoring_report.html").stat().st_size > 10_000
    assert str(Project(folder).champion().version) == "2"

    rows = pq.read_table(folder / "data/08_reporting/quality_estimates.parquet").to_pylist()
    performance = {
        (row["window"]["start"].day, row["model_version"]): row["realised"]
        for row in rows
        if row["metric"] == "roc_auc" and row["slice_key"] is None
    }
    calm, drifted, back = performance[8, "1"], performance[11, "1"], performance[14, "2"]
    assert drifted < calm - 0.15
    assert back > drifted + 0.15
    operational = pq.read_table(folder / "data/08_reporting/health_metrics.parquet").to_pylist()
    by_entity = {
        row["served_entity_name"]: row for row in operational if row["window"]["start"].day == 12
    }
    assert 0.3 < by_entity["challenger"]["requests"] / 300 < 0.7
    assert sum(row["requests"] for row in operational) == 3000

    assert not away.exists()

    again = project.kedro("demo", "--folder", "src")
    assert again.status == 1
    assert "src is not empty, and no demo" in " ".join(again.output.split())
