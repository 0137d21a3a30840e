"""List the columns that Evidently's drift preset finds drifted, by window, for `drift_power.py`."""

import json
import platform
import sys
from importlib.metadata import version
from typing import Any

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

_P_VALUE = "p_value"
"""Part of the names of Evidently's methods that return a p-value; the others return distances."""


def main() -> None:
    """Read `REFERENCE WINDOWS`, run, print JSON."""
    reference, windows = map(pd.read_parquet, sys.argv[1:3])
    numbers = list(reference.select_dtypes("number").columns)
    definition = DataDefinition(
        numerical_columns=numbers,
        categorical_columns=[name for name in reference if name not in numbers],
    )
    known = Dataset.from_pandas(reference, data_definition=definition)
    drifted, share = {}, None
    for name, rows in windows.groupby("window", sort=False):
        current = Dataset.from_pandas(rows.drop(columns="window"), data_definition=definition)
        metrics = Report([DataDriftPreset()]).run(current, known).dict()["metrics"]
        (whole,) = [one for one in metrics if "drift_share" in one["config"]]
        share = whole["config"]["drift_share"]
        drifted[name] = [one["config"]["column"] for one in metrics if _is_drifted(one)]
        if len(drifted[name]) != whole["value"]["count"]:
            sys.exit(f"{drifted[name]} is not the {whole['value']['count']} that Evidently counts")
    packages = ", ".join(f"{name} {version(name)}" for name in ("evidently", "pandas", "numpy"))
    result = {
        "drifted": drifted,
        "share": share,
        "versions": f"Python {platform.python_version()}, {packages}",
    }
    print(json.dumps(result))


def _is_drifted(metric: dict[str, Any]) -> bool:
    config = metric["config"]
    if "column" not in config:
        return False
    if _P_VALUE in config["method"]:
        return metric["value"] <= config["threshold"]
    return metric["value"] >= config["threshold"]


if __name__ == "__main__":
    main()
