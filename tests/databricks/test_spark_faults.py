"""Damaged tables on Apache Spark: the messages, and repair by the next save."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.project import clean_environment
from support.table import TABLE


@pytest.mark.fault
@pytest.mark.spark
def test_table_faults_on_spark_are_explained_and_the_next_save_heals(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).parents[1] / "support" / "spark_faults.py"),
            str(tmp_path),
            TABLE.model_dump_json(),
        ],
        capture_output=True,
        text=True,
        env=clean_environment(),
        cwd=tmp_path,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    messages = json.loads(done.stdout.splitlines()[-1])
    expected = {
        "no catalog": "no schema marvel_characters in the catalog mlops_dev",
        "no table": "A table is not there",
        "lost file": "A file of a table is gone",
        "ragged": "The raw file (raw_table) has rows with",
        "damaged log": "While attaching damaged: The log of a table",
    }
    for name, words in expected.items():
        assert words in messages.pop(name)
    for number in range(2):
        message = messages.pop(f"writer {number}")
        assert message is None or "Another job wrote the same table" in message
    assert all(message is None for message in messages.values()), messages
