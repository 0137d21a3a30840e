"""Run Evidently's drift and summary presets on two files, for `monitoring.py`."""

import json
import platform
import sys
import time
from importlib.metadata import version

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset, DataSummaryPreset


def main() -> None:
    """Read `REFERENCE CURRENT ROUNDS`, run, print JSON."""
    reference, current = map(pd.read_parquet, sys.argv[1:3])
    numbers = list(reference.select_dtypes("number").columns)
    definition = DataDefinition(
        numerical_columns=numbers,
        categorical_columns=[name for name in reference if name not in numbers],
    )
    seconds, found = [], 0
    for _ in range(int(sys.argv[3])):
        begin = time.perf_counter()
        datasets = [
            Dataset.from_pandas(table, data_definition=definition) for table in (current, reference)
        ]
        snapshot = Report([DataDriftPreset(), DataSummaryPreset()]).run(*datasets)
        result = snapshot.dict()
        seconds.append(time.perf_counter() - begin)
        found = len(result["metrics"])
    packages = ", ".join(f"{name} {version(name)}" for name in ("evidently", "pandas", "numpy"))
    print(
        json.dumps(
            {
                "seconds": seconds,
                "metrics": found,
                "versions": f"Python {platform.python_version()}, {packages}",
            }
        )
    )


if __name__ == "__main__":
    main()
