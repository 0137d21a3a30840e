"""What a task tells the tasks after it."""

import json
import os
from pathlib import Path
from typing import Any

from mlflow import MlflowClient


def of_promotion(promotion: dict[str, Any]) -> dict[str, str]:
    """What the decision about a candidate means for the tasks after it.

    A try that failed after it had moved the alias is followed by one that finds its own candidate
    to be the champion already: for the job, that is a promotion.

    Args:
        promotion: The record of the decision.

    Returns:
        `promoted` (`true` or `false`) and `model_version` (empty if none was made).
    """
    version = promotion["model_version"]
    promoted = promotion["promoted"]
    run = os.environ.get("MARVEL_JOB_RUN_ID")
    if run and version and version == promotion["previous_champion"]:
        tags = MlflowClient().get_model_version(promotion["model_name"], version).tags
        promoted = tags.get("job_run_id") == run
    return {"promoted": str(promoted).lower(), "model_version": version or ""}


def of_retraining(decision: dict[str, Any]) -> dict[str, str]:
    """What the decision about a new training means for the tasks after it.

    Args:
        decision: What `monitoring.decision.decide` returns.

    Returns:
        `retrain`: `true` or `false`.
    """
    return {"retrain": str(decision["retrain"]).lower()}


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
