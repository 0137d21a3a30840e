"""The A/B test of a lakehouse equals that of files."""

import shutil
from pathlib import Path

import pytest
from deltalake import write_deltalake
from support.inference_traffic import make_traffic
from support.project import Project


@pytest.mark.parametrize("engine", ["sail", pytest.param("spark", marks=pytest.mark.spark)])
def test_ab_test_is_the_same_on_every_engine(
    engine: str, project: Project, template: Path, tmp_path: Path
) -> None:
    traffic = make_traffic(days=4, requests_a_day=100)
    window = ("--params", "ab_test.since=2026-01-02")
    traffic.write(project.path / "data")
    outcome = project.cli("--pipelines", "ab_test", *window)
    assert outcome.status == 0, outcome.output

    shutil.copytree(template, tmp_path / "lakehouse")
    lakehouse = Project(tmp_path / "lakehouse")
    warehouse = lakehouse.path / "data" / "warehouse" / "marvel_characters"
    for name, table in (
        ("inference_payload", traffic.payload),
        ("served_entities", traffic.served),
        ("labels", traffic.labels),
    ):
        partitions = ["request_date"] if name == "inference_payload" else None
        write_deltalake(str(warehouse / name), table, partition_by=partitions)
    words = ("--env", "lakehouse", "--pipelines", "ab_test", *window)
    outcome = lakehouse.on(engine, *words)
    assert outcome.status == 0, outcome.output
    assert lakehouse.report("ab_report") == project.report("ab_report")
    assert project.report("ab_report")["requests"] == 300

    shutil.rmtree(warehouse / "labels")
    refused = lakehouse.on(engine, *words)
    assert refused.status == 1
    assert "labels is not there. Bring a table" in " ".join(refused.output.split())
