"""Values that a task of a job passes to later tasks."""

import json
import os
from pathlib import Path
from typing import Any


def of_promotion(promotion: dict[str, Any]) -> dict[str, str]:
    """Return the task values `promoted` (`true` or `false`) and `model_version` (empty if none).

    A retry of a task that failed after it had moved the alias finds its own candidate as the
    champion. For the job this is a promotion.
    """
    from mlflow import MlflowClient  # noqa: PLC0415 - slow to import

    version, promoted = promotion["model_version"], promotion["promoted"]
    run = os.environ.get("MARVEL_JOB_RUN_ID")
    if run and version and version == promotion["previous_champion"]:
        tags = MlflowClient().get_model_version(promotion["model_name"], version).tags
        promoted = tags.get("job_run_id") == run
    return {"promoted": str(promoted).lower(), "model_version": version or ""}


def of_retraining(decision: dict[str, Any]) -> dict[str, str]:
    """Return the task value `retrain` (`true` or `false`) of a retraining decision."""
    return {"retrain": str(decision["retrain"]).lower()}


def set_values(values: dict[str, str]) -> None:
    """Set task values of the Databricks job, and write them to a file for other orchestrators.

    Other tasks read `{{tasks.<task>.values.<key>}}`. The file is the JSON file that
    MARVEL_TASK_VALUES names, if it is set. Task values set by a wheel task were not verified; the
    course sets them from a script.
    """
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        from databricks.sdk.runtime import dbutils  # noqa: PLC0415 - only on Databricks

        for key, value in values.items():
            dbutils.jobs.taskValues.set(key=key, value=value)
    if file := os.environ.get("MARVEL_TASK_VALUES"):
        path = Path(file)
        earlier = json.loads(path.read_text("utf-8")) if path.exists() else {}
        path.write_text(json.dumps(earlier | values), "utf-8")
