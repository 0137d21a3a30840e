"""The local runner executes jobs as the platform is documented to."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.bundle.bundle import job_id, load
from support.bundle.runner import JOB_ID, JOB_RUN_ID, TaskRun, result, run_job

# Replaces the wheel's command: prints its arguments; fails, hangs and sets values as planned.
STUB = """#!{python} -S
import json, os, pathlib, sys, time
named = dict(word[2:].split("=", 1) for word in sys.argv[1:])
print(json.dumps(named | {{"cwd": os.listdir(), "environment": sorted(os.environ)}}))
work = named["pipeline"] or named["command"]
plan = json.loads(os.environ["PLAN"]).get(work, {{}})
tries = pathlib.Path(__file__).with_name(work)
number = len(tries.read_text()) + 1 if tries.exists() else 1
tries.write_text("x" * number)
time.sleep(plan.get("seconds", 0))
if "values" in plan:
    pathlib.Path(os.environ["MARVEL_TASK_VALUES"]).write_text(json.dumps(plan["values"]))
sys.exit(3 if number <= plan.get("fails", 0) else 0)
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    stub = tmp_path / "bin" / "marvel-kedro-job"
    stub.parent.mkdir()
    stub.write_text(STUB.format(python=sys.executable))
    stub.chmod(0o755)
    return stub.parent


@pytest.fixture(scope="session")
def training_job() -> dict[str, Any]:
    job: dict[str, Any] = load("dev")["resources"]["jobs"]["marvel_training"]
    return job


def run(
    job: dict[str, Any], scripts: Path, parameters: dict[str, str] | None = None, **plan: Any
) -> dict[str, TaskRun]:
    return run_job(job, scripts, {"PLAN": json.dumps(plan)}, parameters)


def promoted(value: str) -> dict[str, Any]:
    return {"values": {"promoted": value, "model_version": "7"}}


def states(tasks: dict[str, TaskRun]) -> dict[str, str]:
    return {key: task.state for key, task in tasks.items()}


def wheel(key: str, *after: str, **settings: Any) -> dict[str, Any]:
    return settings | {
        "task_key": key,
        "depends_on": [{"task_key": before} for before in after],
        "python_wheel_task": {
            "package_name": "p",
            "entry_point": "marvel-kedro-job",
            "named_parameters": {"pipeline": key},
        },
    }


def test_promoted_model_is_served_and_deployed(training_job: dict[str, Any], scripts: Path) -> None:
    tasks = run(training_job, scripts, training=promoted("true"))
    assert list(tasks) == ["processing", "training", "promoted", "serving", "deploy"]
    assert set(states(tasks).values()) == {"SUCCESS"}
    assert tasks["promoted"].outcome == "true"
    assert tasks["training"].values == {"promoted": "true", "model_version": "7"}
    assert tasks["serving"].status == 0


def test_model_that_is_not_promoted_skips_serving_and_the_job_succeeds(
    training_job: dict[str, Any], scripts: Path
) -> None:
    tasks = run(training_job, scripts, training=promoted("false"))
    assert tasks["promoted"].outcome == "false"
    assert tasks["serving"] == tasks["deploy"] == TaskRun("EXCLUDED")
    assert tasks["promoted"].state == tasks["training"].state == "SUCCESS"


def test_command_gets_the_arguments_and_variables_of_the_platform(
    training_job: dict[str, Any], scripts: Path
) -> None:
    tasks = run(training_job, scripts, {"files": "/tmp/files"}, training=promoted("true"))
    given = {key: json.loads(task.output) for key, task in tasks.items() if task.output}
    assert given["training"]["pipeline"] == "training"
    assert given["training"]["schema"] == "dev_jane_doe_marvel_kedro"
    assert given["training"]["files"] == "/tmp/files"
    assert given["training"]["tracking-uri"] == "databricks"
    assert (given["serving"]["job-id"], given["serving"]["run-id"]) == (JOB_ID, JOB_RUN_ID)
    assert len({task["task-run-id"] for task in given.values()}) == 4
    assert (given["deploy"]["command"], given["deploy"]["pipeline"]) == ("deploy", "")
    assert given["deploy"]["endpoint"] == "dev_jane_doe_marvel_kedro_dev"
    assert given["processing"]["cwd"] == []
    assert given["processing"]["environment"][-2:] == ["MARVEL_TASK_VALUES", "PLAN"]


def test_job_parameters_reach_every_task_and_override_named_ones(scripts: Path) -> None:
    task = wheel("a")
    task["python_wheel_task"]["named_parameters"] |= {"catalog": "mine"}
    parameters = [{"name": "catalog", "default": "c"}, {"name": "unnamed", "default": "u"}]
    tasks = run({"parameters": parameters, "tasks": [task]}, scripts)
    given = json.loads(tasks["a"].output)
    assert (given["catalog"], given["unnamed"]) == ("c", "u")
    with pytest.raises(ValueError, match="schema"):
        run({"parameters": parameters, "tasks": [task]}, scripts, {"schema": "s"})


def test_failing_task_is_retried(training_job: dict[str, Any], scripts: Path) -> None:
    plan = promoted("true") | {"fails": 1}
    tasks = run(training_job, scripts, processing={"fails": 2}, training=plan)
    assert (tasks["processing"].state, tasks["processing"].tries) == ("SUCCESS", 3)
    assert (tasks["training"].state, tasks["training"].tries) == ("SUCCESS", 2)
    assert tasks["serving"].state == "SUCCESS"


def test_tasks_after_a_failed_one_do_not_run(training_job: dict[str, Any], scripts: Path) -> None:
    tasks = run(training_job, scripts, training={"fails": 9})
    assert states(tasks) == {
        "processing": "SUCCESS",
        "training": "FAILED",
        "promoted": "UPSTREAM_FAILED",
        "serving": "UPSTREAM_FAILED",
        "deploy": "UPSTREAM_FAILED",
    }
    assert (tasks["training"].status, tasks["training"].tries) == (3, 2)
    assert '"pipeline": "training"' in tasks["training"].output


def test_missing_task_value_fails_the_task_that_refers_to_it(
    training_job: dict[str, Any], scripts: Path
) -> None:
    tasks = run(training_job, scripts)
    assert tasks["promoted"].state == "FAILED"
    assert tasks["promoted"].output == "{{tasks.training.values.promoted}} refers to nothing"
    assert tasks["serving"].state == "UPSTREAM_FAILED"


@pytest.mark.parametrize(("retry", "tries"), [(False, 1), (True, 2)])
def test_task_that_exceeds_its_timeout_is_stopped(scripts: Path, retry: bool, tries: int) -> None:
    task = wheel("a", timeout_seconds=0.3, max_retries=1, retry_on_timeout=retry)
    tasks = run({"tasks": [task]}, scripts, a={"seconds": 30})
    assert (tasks["a"].state, tasks["a"].status, tasks["a"].tries) == ("TIMEDOUT", None, tries)


@pytest.mark.parametrize(
    ("run_if", "bad", "state"),
    [
        ("ALL_SUCCESS", 0, "SUCCESS"),
        ("ALL_SUCCESS", 1, "UPSTREAM_FAILED"),
        ("NONE_FAILED", 1, "UPSTREAM_FAILED"),
        ("ALL_DONE", 2, "SUCCESS"),
        ("AT_LEAST_ONE_SUCCESS", 1, "SUCCESS"),
        ("AT_LEAST_ONE_SUCCESS", 2, "UPSTREAM_FAILED"),
        ("AT_LEAST_ONE_FAILED", 0, "EXCLUDED"),
        ("AT_LEAST_ONE_FAILED", 1, "SUCCESS"),
        ("ALL_FAILED", 1, "EXCLUDED"),
        ("ALL_FAILED", 2, "SUCCESS"),
    ],
)
def test_run_if_decides_the_state_of_a_task(
    scripts: Path, run_if: str, bad: int, state: str
) -> None:
    job = {"tasks": [wheel("c", "a", "b", run_if=run_if), wheel("a"), wheel("b")]}
    plan: dict[str, Any] = {key: {"fails": 9} for key in "ab"[:bad]}
    assert run(job, scripts, **plan)["c"].state == state


@pytest.mark.parametrize(
    ("left", "op", "right", "outcome"),
    [
        ("12.0", "EQUAL_TO", "12", "false"),
        ("true", "NOT_EQUAL", "true", "false"),
        ("12.0", "GREATER_THAN_OR_EQUAL", "12", "true"),
        ("9", "LESS_THAN", "10", "true"),
    ],
)
def test_excluded_branch_counts_as_success_where_branches_join(
    scripts: Path, left: str, op: str, right: str, outcome: str
) -> None:
    decide = {"task_key": "if", "condition_task": {"op": op, "left": left, "right": right}}
    yes, no = wheel("yes", "if"), wheel("no", "if")
    yes["depends_on"][0]["outcome"], no["depends_on"][0]["outcome"] = "true", "false"
    job = {"tasks": [decide, yes, no, wheel("after", "yes", "no")]}
    tasks = run(job, scripts)
    assert tasks["if"].outcome == outcome
    expected = ("SUCCESS", "EXCLUDED") if outcome == "true" else ("EXCLUDED", "SUCCESS")
    assert (tasks["yes"].state, tasks["no"].state) == expected
    assert tasks["after"].state == "SUCCESS"


def call(key: str, number: int, *after: str, **parameters: str) -> dict[str, Any]:
    return {
        "task_key": key,
        "depends_on": [{"task_key": before} for before in after],
        "run_job_task": {"job_id": number, "job_parameters": parameters},
    }


def test_job_runs_another_job_with_its_parameters(scripts: Path) -> None:
    passed = {"catalog": "{{job.parameters.catalog}}", "run": "{{tasks.a.values.n}}-{{job.id}}"}
    outer = {
        "parameters": [{"name": "catalog", "default": "c"}, {"name": "mine", "default": "m"}],
        "tasks": [wheel("a"), call("b", 7, "a", **passed), wheel("after", "b")],
    }
    inner = {
        "parameters": [{"name": name, "default": "d"} for name in ("catalog", "run", "other")],
        "tasks": [wheel("x"), wheel("y", "x")],
    }
    inner["tasks"][0]["python_wheel_task"]["named_parameters"] |= {
        "job-id": "{{job.id}}",
        "run-id": "{{job.run_id}}",
    }
    plan = json.dumps({"a": {"values": {"n": "1"}}})
    tasks = run_job(outer, scripts, {"PLAN": plan}, {"catalog": "theirs"}, jobs={7: inner})
    assert states(tasks) == dict.fromkeys(["a", "b", "after"], "SUCCESS")
    assert states(tasks["b"].tasks) == {"x": "SUCCESS", "y": "SUCCESS"}
    given = json.loads(tasks["b"].tasks["x"].output)
    assert (given["catalog"], given["run"], given["other"]) == ("theirs", f"1-{JOB_ID}", "d")
    assert "mine" not in given
    assert given["job-id"] == "7"
    assert given["run-id"] not in {JOB_RUN_ID, ""}
    with pytest.raises(ValueError, match="mine"):
        run_job({"tasks": [call("b", 7, mine="x")]}, scripts, {"PLAN": "{}"}, jobs={7: inner})


def test_failed_job_fails_the_task_that_runs_it(scripts: Path) -> None:
    inner = {"tasks": [wheel("x"), wheel("y", "x", run_if="ALL_DONE"), wheel("z")]}
    again = call("b", 7) | {"max_retries": 1}
    outer = {"tasks": [again, wheel("after", "b")]}

    def run_outer(**plan: Any) -> dict[str, TaskRun]:
        for tries in scripts.glob("?"):
            tries.unlink()
        return run_job(outer, scripts, {"PLAN": json.dumps(plan)}, jobs={7: inner})

    broken = run_outer(z={"fails": 9})
    assert (broken["b"].state, broken["b"].tries) == ("FAILED", 2)
    assert broken["after"].state == "UPSTREAM_FAILED"
    fixed = run_outer(z={"fails": 1})
    assert (fixed["b"].state, fixed["b"].tries) == ("SUCCESS", 2)
    # The last tasks decide: an earlier one may fail where a later one allows it.
    tolerated = run_outer(x={"fails": 9})
    assert tolerated["b"].tasks["x"].state == "FAILED"
    assert (tolerated["b"].state, result(outer, tolerated)) == ("SUCCESS", "SUCCESS")


@pytest.mark.parametrize(("value", "trains"), [("true", True), ("false", False)])
def test_monitoring_job_runs_training_if_monitoring_says_retrain(
    scripts: Path, value: str, trains: bool
) -> None:
    """The jobs of the bundle, with a replacement for the wheel's command."""
    jobs: dict[str, Any] = load("dev")["resources"]["jobs"]
    plan = {"monitoring": {"values": {"retrain": value}}, "retraining": promoted("true")}
    tasks = run_job(
        jobs["marvel_monitoring"],
        scripts,
        {"PLAN": json.dumps(plan)},
        {"files": "/tmp/files", "git-sha": "abc"},
        jobs={job_id(key): job for key, job in jobs.items()},
    )
    assert list(tasks) == ["refresh", "retrain", "training"]
    assert json.loads(tasks["refresh"].output)["pipeline"] == "monitoring"
    assert tasks["retrain"].outcome == value
    assert result(jobs["marvel_monitoring"], tasks) == "SUCCESS"
    if not trains:
        assert tasks["training"] == TaskRun("EXCLUDED")
        return
    trained = tasks["training"].tasks
    assert set(states(trained).values()) == {"SUCCESS"}
    given = json.loads(trained["training"].output)
    assert (given["files"], given["git-sha"]) == ("/tmp/files", "abc")
    assert given["endpoint"] == "dev_jane_doe_marvel_kedro_dev"
    assert given["job-id"] == str(job_id("marvel_training"))


def test_runner_rejects_unknown_kinds_of_tasks(scripts: Path) -> None:
    with pytest.raises(NotImplementedError, match="neither a condition, a wheel nor a job"):
        run({"tasks": [{"task_key": "a", "notebook_task": {}}]}, scripts)
    with pytest.raises(NotImplementedError, match="without end"):
        run({"tasks": [wheel("a", max_retries=-1)]}, scripts)
