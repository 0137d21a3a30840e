"""What a task tells the tasks after it."""

import json
import os
from pathlib import Path


def set_values(values: dict[str, str]) -> None:
    """Set task values of the Databricks job, and write them where another orchestrator reads them.

    That is the JSON file that MARVEL_TASK_VALUES names, if it names one. A wheel task that sets
    task values was not verified; the course does it from a script.

    Args:
        values: By key; other tasks read `{{tasks.<task>.values.<key>}}`.
    """
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        from databricks.sdk.runtime import dbutils  # noqa: PLC0415 - there only

        for key, value in values.items():
            dbutils.jobs.taskValues.set(key=key, value=value)
    if file := os.environ.get("MARVEL_TASK_VALUES"):
        path = Path(file)
        said = json.loads(path.read_text("utf-8")) if path.exists() else {}
        path.write_text(json.dumps(said | values), "utf-8")
