"""Raw files that Sail would misread are refused."""

import pytest
from support.project import Project

ENTRY = "raw_table:\n  type: marvel_kedro.databricks.spark_raw_csv.SparkRawCSVDataset\n"


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        ("Pagé,x,y\n", "{encoding: latin1}", "iconv -f latin1"),
        ('1,"x,y\n2,x,y\n3,"x",y\n', "{}", "begins in line 2 holds 2 more rows"),
    ],
)
def test_file_that_sail_would_misread_is_one_message(
    project: Project, content: str, arguments: str, words: str
) -> None:
    project.raw.write_bytes(f"a,b,c\n{content}".encode("latin-1"))
    entry = f"{ENTRY}  filepath: {project.raw}\n  load_args: {arguments}\n"
    processing = project.path / "conf" / "lakehouse" / "processing" / "catalog.yml"
    others = processing.read_text().partition("source_rows:")
    processing.write_text(entry + others[1] + others[2])
    outcome = project.cli("--env", "lakehouse", "--pipelines", "processing")
    assert outcome.status == 1
    assert outcome.output.count("Error:") == 1
    assert words in outcome.output
