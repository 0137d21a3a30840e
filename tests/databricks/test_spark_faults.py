"""Faults of tables on Apache Spark: what is said, and that the next save heals."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.project import clean_environment


@pytest.mark.fault
@pytest.mark.spark
def test_faults_of_spark(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).parents[1] / "support" / "spark_faults.py"),
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        env=clean_environment(),
        cwd=tmp_path,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    expected = {
        "no catalog": "no schema marvel_characters in the catalog mlops_dev",
        "no table": "A table is not there",
        "lost file": "A file of a table is gone",
        "ragged": "The raw file (raw_characters) has rows with",
        "damaged log": "While attaching damaged: The log of a table",
    }
    for name, words in expected.items():
        assert words in said.pop(name)
    for number in range(2):
        message = said.pop(f"writer {number}")
        assert message is None or "Another job wrote the same table" in message
    assert all(message is None for message in said.values()), said
