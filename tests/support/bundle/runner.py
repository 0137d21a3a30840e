"""Run a job of the bundle locally, task by task, as the platform is documented to."""

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from itertools import count
from pathlib import Path
from typing import Any

JOB_ID, JOB_RUN_ID = "1001", "2001"
_FIRST_TASK_RUN = 3001
_REFERENCE = re.compile(r"\{\{\s*([^}]*?)\s*\}\}")
_FAILED = {"FAILED", "TIMEDOUT", "UPSTREAM_FAILED"}


@dataclass(frozen=True)
class TaskRun:
    """Result of a task.

    `state` is one of the SDK's RunResultState; `status` and `output` are those of the last try.
    A condition has an `outcome`, a wheel task the `values` that it wrote to MARVEL_TASK_VALUES, and
    a task that runs a job the `tasks` of that job.
    """

    state: str
    status: int | None = None
    output: str = ""
    values: dict[str, str] = field(default_factory=dict)
    outcome: str = ""
    tries: int = 0
    tasks: "dict[str, TaskRun]" = field(default_factory=dict)


def run_job(  # noqa: PLR0913 - a job and what the platform adds
    job: Mapping[str, Any],
    scripts: Path,
    environment: Mapping[str, str],
    parameters: Mapping[str, str] | None = None,
    *,
    longest_retry_wait: float = 0.0,
    job_id: str = JOB_ID,
    job_run_id: str = JOB_RUN_ID,
    jobs: Mapping[int, Mapping[str, Any]] | None = None,
) -> dict[str, TaskRun]:
    """Run a job's tasks, each after those it depends on.

    Args:
        job: A job of the resolved bundle.
        scripts: The `bin` of an environment that has the wheel.
        environment: Environment variables of the tasks, all of them.
        parameters: Values for the job's parameters, instead of their defaults.
        longest_retry_wait: Seconds; a task's `min_retry_interval_millis` counts up to it.
        job_id: The id of the job.
        job_run_id: The id of this run of the job.
        jobs: Jobs that its tasks may run, by id. Only timeouts of wheel tasks apply.

    Returns:
        Results by task key.
    """
    given = {entry["name"]: entry["default"] for entry in job.get("parameters", ())}
    if unknown := set(parameters or {}) - given.keys():
        raise ValueError(f"the job has no parameters {sorted(unknown)}")
    run = _Run(
        given | dict(parameters or {}),
        scripts,
        environment,
        longest_retry_wait=longest_retry_wait,
        ids=(job_id, job_run_id),
        jobs=jobs or {},
    )
    tasks = {task["task_key"]: task for task in job["tasks"]}
    order = TopologicalSorter(
        {
            key: [edge["task_key"] for edge in task.get("depends_on", ())]
            for key, task in tasks.items()
        }
    )
    for key in order.static_order():
        run.add(tasks[key])
    return run.tasks


def result(job: Mapping[str, Any], tasks: Mapping[str, TaskRun]) -> str:
    """Return the result of a job: FAILED if a task failed that no other depends on."""
    inner = {edge["task_key"] for task in job["tasks"] for edge in task.get("depends_on", ())}
    failed = any(task.state in _FAILED for key, task in tasks.items() if key not in inner)
    return "FAILED" if failed else "SUCCESS"


class _Run:
    def __init__(  # noqa: PLR0913 - those of `run_job`
        self,
        parameters: dict[str, str],
        scripts: Path,
        environment: Mapping[str, str],
        *,
        longest_retry_wait: float,
        ids: tuple[str, str],
        jobs: Mapping[int, Mapping[str, Any]],
    ) -> None:
        self.tasks: dict[str, TaskRun] = {}
        self._parameters = parameters
        self._scripts = scripts
        self._environment = environment
        self._longest_retry_wait = longest_retry_wait
        self._job_id, self._job_run_id = ids
        self._jobs = jobs
        self._task_run_ids = count(_FIRST_TASK_RUN)

    def add(self, task: Mapping[str, Any]) -> None:
        before = [self._seen_from(edge) for edge in task.get("depends_on", ())]
        state = _not_run(task.get("run_if", "ALL_SUCCESS"), before)
        try:
            if state:
                ended = TaskRun(state)
            elif "condition_task" in task:
                ended = self._decide(task["condition_task"])
            elif "python_wheel_task" in task:
                ended = self._execute(task, self._try)
            elif "run_job_task" in task:
                ended = self._execute(task, self._call)
            else:
                raise NotImplementedError(
                    f"{task['task_key']}: neither a condition, a wheel nor a job"
                )
        except _ReferenceError as error:
            ended = TaskRun("FAILED", output=str(error))
        self.tasks[task["task_key"]] = ended

    def _seen_from(self, edge: Mapping[str, str]) -> str:
        """Return the state of an upstream task; EXCLUDED if its outcome is not the expected one."""
        before = self.tasks[edge["task_key"]]
        other = before.state == "SUCCESS" and edge.get("outcome", before.outcome) != before.outcome
        return "EXCLUDED" if other else before.state

    def _decide(self, condition: Mapping[str, str]) -> TaskRun:
        run_id = str(next(self._task_run_ids))
        left, right = (self._fill_in(condition[side], run_id) for side in ("left", "right"))
        return TaskRun("SUCCESS", outcome=str(_OPERATORS[condition["op"]](left, right)).lower())

    def _execute(
        self, task: Mapping[str, Any], attempt: Callable[[Mapping[str, Any], int], TaskRun]
    ) -> TaskRun:
        tries = task.get("max_retries", 0) + 1
        if tries < 1:
            raise NotImplementedError(f"{task['task_key']}: retries without end")
        wait = min(task.get("min_retry_interval_millis", 0) / 1000, self._longest_retry_wait)
        for number in range(1, tries + 1):
            ended = attempt(task, number)
            hung = ended.state == "TIMEDOUT" and not task.get("retry_on_timeout")
            if ended.state == "SUCCESS" or hung or number == tries:
                break
            time.sleep(wait)
        return ended

    def _try(self, task: Mapping[str, Any], number: int) -> TaskRun:
        wheel, run_id = task["python_wheel_task"], str(next(self._task_run_ids))
        named = {
            name: self._fill_in(text, run_id)
            for name, text in wheel.get("named_parameters", {}).items()
        }
        # The platform adds all job parameters to wheel tasks, and they override named ones.
        named |= self._parameters
        words = [f"--{name}={value}" for name, value in named.items()]
        with tempfile.TemporaryDirectory() as folder:
            work, values, log = (Path(folder, name) for name in ("work", "values.json", "log"))
            work.mkdir()
            # To a file: a process that outlives its parent would keep a pipe open.
            with log.open("w") as output:
                try:
                    status = subprocess.run(
                        [self._scripts / wheel["entry_point"], *words],
                        cwd=work,
                        env={**self._environment, "MARVEL_TASK_VALUES": str(values)},
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        timeout=task.get("timeout_seconds") or None,
                        check=False,
                    ).returncode
                    state = "FAILED" if status else "SUCCESS"
                except subprocess.TimeoutExpired:
                    status, state = None, "TIMEDOUT"
            left = json.loads(values.read_text()) if values.exists() else {}
            return TaskRun(state, status, log.read_text(), left, tries=number)

    def _call(self, task: Mapping[str, Any], number: int) -> TaskRun:
        """Run another job with its job parameters only, without those of this job."""
        call, run_id = task["run_job_task"], str(next(self._task_run_ids))
        parameters = {
            name: self._fill_in(text, run_id)
            for name, text in call.get("job_parameters", {}).items()
        }
        job = self._jobs[call["job_id"]]
        tasks = run_job(
            job,
            self._scripts,
            self._environment,
            parameters,
            longest_retry_wait=self._longest_retry_wait,
            job_id=str(call["job_id"]),
            job_run_id=run_id,
            jobs=self._jobs,
        )
        output = "\n".join(one.output for one in tasks.values())
        return TaskRun(result(job, tasks), output=output, tries=number, tasks=tasks)

    def _fill_in(self, text: str, task_run_id: str) -> str:
        def value(found: re.Match[str]) -> str:
            match found[1].split(".", 2):
                case ["job", "parameters", name] if name in self._parameters:
                    return self._parameters[name]
                case ["job", "id"]:
                    return self._job_id
                case ["job", "run_id"]:
                    return self._job_run_id
                case ["task", "run_id"]:
                    return task_run_id
                case ["tasks", key, rest] if rest.startswith("values."):
                    left = self.tasks[key].values if key in self.tasks else {}
                    if (name := rest.removeprefix("values.")) in left:
                        return left[name]
            raise _ReferenceError(f"{found[0]} refers to nothing")

        return _REFERENCE.sub(value, text)


class _ReferenceError(Exception):
    pass


def _not_run(run_if: str, before: list[str]) -> str:
    """Return the state of a task that `run_if` prevents from running, or an empty text.

    Excluded tasks count as successful; a task is excluded if all upstream tasks are.
    """
    if not before:
        return ""
    if set(before) == {"EXCLUDED"}:
        return "EXCLUDED"
    failed = [state in _FAILED for state in before]
    if run_if == "ALL_DONE":
        return ""
    if run_if in ("AT_LEAST_ONE_FAILED", "ALL_FAILED"):
        runs = any(failed) if run_if == "AT_LEAST_ONE_FAILED" else all(failed)
        return "" if runs else "EXCLUDED"
    if run_if == "AT_LEAST_ONE_SUCCESS":
        return "" if not all(failed) else "UPSTREAM_FAILED"
    if run_if in ("ALL_SUCCESS", "NONE_FAILED"):
        return "UPSTREAM_FAILED" if any(failed) else ""
    raise NotImplementedError(f"run_if: {run_if}")


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "EQUAL_TO": lambda left, right: left == right,
    "NOT_EQUAL": lambda left, right: left != right,
    "GREATER_THAN": lambda left, right: float(left) > float(right),
    "GREATER_THAN_OR_EQUAL": lambda left, right: float(left) >= float(right),
    "LESS_THAN": lambda left, right: float(left) < float(right),
    "LESS_THAN_OR_EQUAL": lambda left, right: float(left) <= float(right),
}
