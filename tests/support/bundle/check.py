"""Report errors in a resolved bundle as sentences."""

import re
import types
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from graphlib import CycleError, TopologicalSorter
from typing import Any, Union, get_args, get_origin, get_type_hints
from zoneinfo import available_timezones

from databricks.sdk.service import catalog, jobs, ml
from support.bundle.bundle import job_id

TASK_VALUES = {"training": {"promoted", "model_version"}, "monitoring": {"retrain"}}
"""Task values that a pipeline sets, by pipeline."""

# Dataclass of a resource, of an entry of its `permissions`, of an entry of its `grants`.
_KINDS: dict[str, tuple[Any, Any, Any]] = {
    "jobs": (jobs.JobSettings, jobs.JobAccessControlRequest, None),
    "experiments": (ml.Experiment, ml.ExperimentAccessControlRequest, None),
    "schemas": (catalog.SchemaInfo, None, catalog.PrivilegeAssignment),
    "volumes": (catalog.VolumeInfo, None, catalog.PrivilegeAssignment),
    "registered_models": (catalog.RegisteredModelInfo, None, catalog.PrivilegeAssignment),
}
# Optional in the dataclasses, but required to create a resource.
_NEEDED = {
    "jobs": {"name", "tasks"},
    "experiments": {"name"},
    "schemas": {"name", "catalog_name"},
    "volumes": {"name", "catalog_name", "schema_name", "volume_type"},
    "registered_models": {"name", "catalog_name", "schema_name"},
}
_TASK_VALUE = re.compile(r"\{\{tasks\.([\w-]+)\.values\.([\w-]+)\}\}")
_JOB_PARAMETER = re.compile(r"\{\{job\.parameters\.([\w.-]+)\}\}")
_NUMBER = r"(\*|\d+(-\d+)?(/\d+)?|\*/\d+)"
_WORD = r"(\*|[A-Z]{3}(-[A-Z]{3})?|\d+(-\d+)?(/\d+)?)"
_LAST = r"(L(-\d+)?|LW|\d+W|[1-7A-Z]+L|\d#\d|\?)"
_QUARTZ = [
    *[rf"{_NUMBER}(,{_NUMBER})*"] * 3,
    rf"({_NUMBER}(,{_NUMBER})*|{_LAST})",
    rf"{_WORD}(,{_WORD})*",
    rf"({_WORD}(,{_WORD})*|{_LAST})",
    rf"{_NUMBER}(,{_NUMBER})*",
]


def bundle_faults(config: dict[str, Any]) -> list[str]:
    """List the errors of all resources and jobs."""
    found = []
    for kind, resources in config["resources"].items():
        if kind not in _KINDS:
            found.append(f"{kind}: a kind of resource that no check knows")
            continue
        for key, resource in resources.items():
            where = f"{kind}.{key}"
            found += _resource_faults(kind, resource, where)
            if kind == "jobs":
                found += job_faults(resource, where)
    return found + list(_call_faults(config["resources"].get("jobs", {})))


def _resource_faults(kind: str, resource: dict[str, Any], where: str) -> Iterator[str]:
    settings, permission, grant = _KINDS[kind]
    rest = dict(resource)
    for name, cls, renamed in (
        ("permissions", permission, {"level": "permission_level"}),
        ("grants", grant, {}),
    ):
        if cls:
            for number, entry in enumerate(rest.pop(name, ())):
                given = {renamed.get(word, word): value for word, value in entry.items()}
                yield from sdk_faults(cls, given, f"{where}.{name}[{number}]")
    for name in sorted(_NEEDED[kind] - rest.keys()):
        yield f"{where}: {name} is missing"
    yield from sdk_faults(settings, rest, where)


def sdk_faults(cls: Any, given: dict[str, Any], where: str) -> list[str]:
    """List fields that the SDK would reject or silently drop."""
    found = list(_unlike(cls, given, where))
    if not found and cls.from_dict(given).as_dict() != given:
        found = [f"{where}: {cls.__name__} loses something"]
    return found


def _unlike(kind: Any, value: Any, where: str) -> Iterator[str]:
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (part for part in get_args(kind) if part is not type(None))
    expected = get_origin(kind) or (dict if is_dataclass(kind) else kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        if value not in {member.value for member in kind}:
            yield f"{where}: {value!r} is no {kind.__name__}"
    elif type(value) is not expected:
        yield f"{where}: {value!r} is not of type {expected.__name__}"
    elif is_dataclass(kind):
        yield from _unlike_dataclass(kind, value, where)
    elif get_args(kind):
        for name, inner in value.items() if expected is dict else enumerate(value):
            yield from _unlike(get_args(kind)[-1], inner, f"{where}[{name}]")


def _unlike_dataclass(kind: Any, value: dict[str, Any], where: str) -> Iterator[str]:
    hints = get_type_hints(kind)
    for field in fields(kind):
        if field.default is MISSING and field.name not in value:
            yield f"{where}: {field.name} is missing"
    for name, inner in value.items():
        if name in hints:
            yield from _unlike(hints[name], inner, f"{where}.{name}")
        else:
            yield f"{where}.{name}: {kind.__name__} has no such field"


def job_faults(job: dict[str, Any], where: str) -> list[str]:
    """Tasks, references, compute and schedule that do not fit together."""
    found = list(_graph_faults(job, where))
    if not found:
        for task in job["tasks"]:
            inside = f"{where}.{task.get('task_key')}"
            found += _compute_faults(job, task, inside)
            found += _reference_faults(job, task, inside)
    if schedule := job.get("schedule"):
        found += _schedule_faults(schedule, f"{where}.schedule")
    return found


def _call_faults(all_jobs: dict[str, Any]) -> Iterator[str]:
    """Check jobs that other jobs run: they exist, take the parameters, and do not call back."""
    ids = {job_id(key): key for key in all_jobs}
    calls: dict[str, set[str]] = {key: set() for key in all_jobs}
    for key, job in all_jobs.items():
        for task in job.get("tasks", ()):
            if (call := task.get("run_job_task")) is None:
                continue
            where = f"jobs.{key}.{task.get('task_key')}"
            if call.get("job_id") not in ids:
                yield f"{where}: no job of the bundle has the id {call.get('job_id')}"
                continue
            called = ids[call["job_id"]]
            calls[key].add(called)
            taken = {entry["name"] for entry in all_jobs[called].get("parameters", ())}
            for name in sorted(call.get("job_parameters", {}).keys() - taken):
                yield f"{where}: {called} has no parameter {name}"
    try:
        TopologicalSorter(calls).prepare()
    except CycleError as error:
        yield f"jobs: they run each other: {error.args[1]}"


def _graph_faults(job: dict[str, Any], where: str) -> Iterator[str]:
    keys = [task.get("task_key") for task in job.get("tasks", ())]
    if len(set(keys)) < len(keys):
        yield f"{where}: two tasks have one key"
    conditions = {task.get("task_key") for task in job["tasks"] if "condition_task" in task}
    for task in job.get("tasks", ()):
        for dependency in task.get("depends_on", ()):
            before, edge = dependency.get("task_key"), f"{where}.{task.get('task_key')}.depends_on"
            if before not in keys:
                yield f"{edge}: there is no task {before}"
            if "outcome" in dependency and before not in conditions:
                yield f"{edge}: {before} is no condition, it has no outcome"
            if before in conditions and dependency.get("outcome") not in ("true", "false"):
                yield f"{edge}: which outcome of {before}, 'true' or 'false'?"
    try:
        TopologicalSorter(_before(job)).prepare()
    except CycleError as error:
        yield f"{where}: tasks wait for each other: {error.args[1]}"


def _before(job: dict[str, Any]) -> dict[str, set[str]]:
    return {
        task["task_key"]: {edge["task_key"] for edge in task.get("depends_on", ())}
        for task in job["tasks"]
    }


def _upstream(job: dict[str, Any], key: str) -> set[str]:
    before = _before(job)
    found: set[str] = set()
    waiting = [key]
    while waiting:
        new = before[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _compute_faults(job: dict[str, Any], task: dict[str, Any], where: str) -> Iterator[str]:
    environments = {entry["environment_key"] for entry in job.get("environments", ())}
    clusters = {entry["job_cluster_key"] for entry in job.get("job_clusters", ())}
    environment, cluster = task.get("environment_key"), task.get("job_cluster_key")
    if "condition_task" in task or "run_job_task" in task:
        if environment or cluster:
            yield f"{where}: neither a condition nor the run of a job needs compute"
    elif bool(environment) == bool(cluster):
        yield f"{where}: requires either an environment or a cluster"
    elif environment and environment not in environments:
        yield f"{where}: there is no environment {environment}"
    elif cluster and cluster not in clusters:
        yield f"{where}: there is no cluster {cluster}"
    elif cluster and not any("whl" in library for library in task.get("libraries", ())):
        yield f"{where}: no wheel among the libraries"


def _reference_faults(job: dict[str, Any], task: dict[str, Any], where: str) -> Iterator[str]:
    parameters = {entry["name"] for entry in job.get("parameters", ())}
    upstream = _upstream(job, task["task_key"])
    left = {
        other["task_key"]: TASK_VALUES.get(
            _filled(
                job, other["python_wheel_task"].get("named_parameters", {}).get("pipeline", "")
            ),
            set(),
        )
        for other in job["tasks"]
        if "python_wheel_task" in other
    }
    texts = [
        *task.get("python_wheel_task", {}).get("named_parameters", {}).values(),
        *task.get("condition_task", {}).values(),
        *task.get("run_job_task", {}).get("job_parameters", {}).values(),
    ]
    for text in texts:
        for before, value in _TASK_VALUE.findall(text):
            if before not in upstream & left.keys():
                yield f"{where}: {before} does not run before and leave values"
            elif value not in left[before]:
                yield f"{where}: {before} leaves no value {value}"
        for name in _JOB_PARAMETER.findall(text):
            if name not in parameters:
                yield f"{where}: the job has no parameter {name}"
    condition = task.get("condition_task", {})
    if condition and not _TASK_VALUE.fullmatch(condition.get("left", "")):
        yield f"{where}: the condition does not look at a task's value"


def _filled(job: dict[str, Any], text: str) -> str:
    """Return a text, or the default of the job parameter that it refers to."""
    defaults = {entry["name"]: entry["default"] for entry in job.get("parameters", ())}
    named = _JOB_PARAMETER.fullmatch(text)
    return str(defaults[named.group(1)]) if named else text


def _schedule_faults(schedule: dict[str, Any], where: str) -> Iterator[str]:
    words = schedule["quartz_cron_expression"].split()
    day, weekday = 3, 5
    if len(words) not in (6, 7):
        yield f"{where}: Quartz requires 6 or 7 fields, here are {len(words)}"
        return
    for word, pattern in zip(words, _QUARTZ, strict=False):
        if not re.fullmatch(pattern, word):
            yield f"{where}: {word} is not Quartz"
    if (words[day] == "?") == (words[weekday] == "?"):
        yield f"{where}: exactly one of day of month and day of week has to be ?"
    if schedule["timezone_id"] not in available_timezones():
        yield f"{where}: {schedule['timezone_id']} is no time zone"
