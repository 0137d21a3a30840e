"""The bundle's files agree with the SDK and the project, in every target."""

import importlib
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from support.bundle.bundle import CLASSIC, USER, VARIABLES, BundleError, load, walk
from support.bundle.check import bundle_faults
from support.project import ROOT
from support.table import TABLE

from marvel_kedro.pipeline_registry import register_pipelines
from marvel_kedro.serving.configuration import Name

TARGETS = ("dev", "acc", "prd")
FILES = ["databricks.yml", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("resources/*"))]
NODE_TYPE = {"node_type_id": VARIABLES["node_type_id"]}


def of_target(target: str, *also: str, root: Path = ROOT) -> dict[str, Any]:
    variables = NODE_TYPE if target == "dev" else VARIABLES
    return load(target, variables=variables, also=also, root=root)


def jobs(target: str, *also: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = of_target(target, *also)["resources"]["jobs"]
    return found


def wheel_tasks() -> list[Any]:
    return [
        pytest.param(job, task, id=f"{key}-{task['task_key']}")
        for key, job in jobs("prd", CLASSIC).items()
        for task in job["tasks"]
        if "python_wheel_task" in task
    ]


def changed(folder: Path, file: str, old: str, new: str) -> Path:
    """Copy the bundle with the first `old` of a file replaced by `new`."""
    (folder / "resources").mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    text = (folder / file).read_text()
    assert old in text, f"{old} is not in {file}"
    (folder / file).write_text(text.replace(old, new, 1))
    return folder


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("also", [(), (CLASSIC,)], ids=["serverless", "classic too"])
def test_every_target_resolves_and_has_no_errors(target: str, also: tuple[str, ...]) -> None:
    config = of_target(target, *also)
    assert config["resources"].keys() >= {"jobs", "schemas", "volumes", "experiments"}
    assert bundle_faults(config) == []
    assert not [key for key, value in walk(config) if "${" in str(value)]


@pytest.mark.parametrize("target", TARGETS)
def test_job_parameters_name_the_resources_of_the_target(target: str) -> None:
    resources = of_target(target, CLASSIC)["resources"]
    schema, experiment = resources["schemas"]["marvel"], resources["experiments"]["marvel"]
    prefix = f"dev_{USER['short_name']}_" if target == "dev" else ""
    assert schema["catalog_name"] == f"mlops_{target}"
    assert schema["name"] == f"{prefix}marvel_kedro"
    for job in resources["jobs"].values():
        given = {entry["name"]: entry["default"] for entry in job["parameters"]}
        assert given["catalog"] == schema["catalog_name"]
        assert given["schema"] == schema["name"]
        assert given["files"] == f"/Volumes/mlops_{target}/{schema['name']}/files"
        assert given["experiment"] == experiment["name"]
        if "endpoint" in given:
            assert given["endpoint"] == f"{prefix}marvel_kedro_{target}"


def test_endpoint_names_are_valid() -> None:
    for target in TARGETS:
        parameters = jobs(target)["marvel_training"]["parameters"]
        (name,) = (entry["default"] for entry in parameters if entry["name"] == "endpoint")
        assert TypeAdapter(Name).validate_python(name) == name


def test_nothing_in_static_files_names_the_table() -> None:
    """They cannot read table.yml, which is the only file that another table changes."""
    files = [
        *(ROOT / name for name in ("databricks.yml", "compose.yaml", "Dockerfile")),
        *(path for name in ("resources", "deploy", "observability") for path in files_of(name)),
        *(ROOT / "conf").glob("*/globals.yml"),
        *(ROOT / "conf").glob("*/mlflow.yml"),
        *(ROOT / "conf").glob("*/serving/*.yml"),
    ]
    words = (TABLE.name, TABLE.key, *TABLE.target.classes, TABLE.row.one)
    named = re.compile("|".join(rf"\b{word}s?\b" for word in words))
    assert len(files) > 30
    found = [f"{path}: {line}" for path in files for line in lines(path) if named.search(line)]
    assert not found, "\n".join(found)


def files_of(folder: str) -> list[Path]:
    return [
        path for path in (ROOT / folder).rglob("*") if path.suffix in {".yml", ".yaml", ".json"}
    ]


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def test_all_users_may_read_acceptance_and_production_only() -> None:
    held = {
        target: {
            grant["principal"]: grant["privileges"]
            for grant in of_target(target)["resources"]["schemas"]["marvel"].get("grants", [])
        }
        for target in TARGETS
    }
    assert held["dev"] == {}
    assert held["acc"] == held["prd"]
    assert held["prd"].keys() == {VARIABLES["service_principal"], "account users"}
    assert "MODIFY" not in held["prd"]["account users"]


def test_only_production_has_active_schedules() -> None:
    for target, paused in {"dev": "PAUSED", "acc": "PAUSED", "prd": None}.items():
        for job in jobs(target).values():
            assert job["schedule"].get("pause_status") == paused


@pytest.mark.parametrize("target", ["acc", "prd"])
def test_service_principal_runs_jobs_that_users_may_view(target: str) -> None:
    config = of_target(target)
    principal = VARIABLES["service_principal"]
    for job in config["resources"]["jobs"].values():
        assert job["run_as"] == {"service_principal_name": principal}
        assert job["permissions"] == [
            {"service_principal_name": principal, "level": "CAN_MANAGE"},
            {"group_name": "users", "level": "CAN_VIEW"},
        ]
    (experiment,) = config["resources"]["experiments"].values()
    assert [entry["level"] for entry in experiment["permissions"]] == ["CAN_MANAGE", "CAN_READ"]
    assert config["workspace"]["root_path"].startswith(f"/Workspace/Users/{principal}/")
    assert config["workspace"]["root_path"].endswith(f"/{target}")


@pytest.mark.parametrize(
    "key", ["marvel_training", "marvel_scoring", "marvel_monitoring", "marvel_training_classic"]
)
def test_job_runs_once_at_a_time_and_notifies_failures(key: str) -> None:
    job = jobs("prd", CLASSIC)[key]
    assert job["max_concurrent_runs"] == 1
    assert job["queue"] == {"enabled": True}
    assert job["email_notifications"]["on_failure"] == [VARIABLES["notification_email"]]
    assert job["health"]["rules"][0]["value"] < job["timeout_seconds"]
    assert job["tags"]["project"] == "marvel_kedro"
    for task in job["tasks"]:
        if "python_wheel_task" in task:
            assert task["max_retries"] >= 1
            assert 0 < task["timeout_seconds"] < job["timeout_seconds"]


def test_classic_job_is_optional_and_does_the_same_as_serverless() -> None:
    assert "marvel_training_classic" not in jobs("prd")
    found = jobs("prd", CLASSIC)
    assert "schedule" not in found["marvel_training_classic"]

    def work(job: dict[str, Any]) -> list[dict[str, Any]]:
        compute = {"environment_key", "job_cluster_key", "libraries", "disable_auto_optimization"}
        return [{k: v for k, v in task.items() if k not in compute} for task in job["tasks"]]

    classic, serverless = found["marvel_training_classic"], found["marvel_training"]
    assert work(classic) == work(serverless)
    assert classic["parameters"] == serverless["parameters"]


@pytest.mark.parametrize(("job", "task"), wheel_tasks())
def test_task_is_a_command_that_the_entry_point_accepts(
    job: dict[str, Any], task: dict[str, Any]
) -> None:
    main: Any = importlib.import_module("marvel_kedro.cli.job").main
    named = dict(task["python_wheel_task"]["named_parameters"])
    if named["pipeline"] == "{{job.parameters.training-pipeline}}":
        named["pipeline"] = "training"  # by default; the monitoring job says retraining
    deploys = named.get("command") == "deploy"
    assert deploys == (task["task_key"] == "deploy")
    assert named["pipeline"] in ([""] if deploys else register_pipelines())
    # The platform adds every job parameter under its own name.
    named |= {entry["name"]: entry["default"] for entry in job["parameters"]}
    words = [f"--{key}={re.sub(r'{{.*?}}', '1', value)}" for key, value in named.items()]
    context = main.make_context("marvel-kedro-job", words)
    assert context.params["pipeline"] == named["pipeline"]


@pytest.mark.parametrize(("job", "task"), wheel_tasks())
def test_task_installs_the_wheel_of_this_project(job: dict[str, Any], task: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert task["python_wheel_task"]["package_name"] == project["name"].replace("-", "_")
    specs = {entry["environment_key"]: entry["spec"] for entry in job.get("environments", ())}
    libraries = [
        library.get("whl") or library["pypi"]["package"] for library in task.get("libraries", ())
    ]
    libraries += specs.get(task.get("environment_key"), {}).get("dependencies", [])
    asks_sdk = task["task_key"] in {"deploy", "refresh"}
    extra = project["optional-dependencies"]["databricks"] if asks_sdk else []
    assert libraries == ["../dist/*.whl", *extra]


def test_wheel_has_the_entry_point_of_the_tasks() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    asked = {param.values[1]["python_wheel_task"]["entry_point"] for param in wheel_tasks()}
    assert {name: scripts.get(name) for name in asked} == {
        "marvel-kedro-job": "marvel_kedro.cli.job:main"
    }


def test_wheel_is_built_by_an_existing_make_target() -> None:
    (artifact,) = of_target("dev")["artifacts"].values()
    command = artifact["build"].split()
    assert command[0] == "make"
    done = subprocess.run(
        [*command, "-n"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_variable_is_described_and_used() -> None:
    text = "".join((ROOT / name).read_text() for name in FILES)
    variables = of_target("prd", CLASSIC)["variables"]
    assert [name for name, entry in variables.items() if not entry.get("description")] == []
    assert [name for name in variables if f"${{var.{name}}}" not in text] == []
    # The principal, the e-mail address and the node type have no sensible default.
    without = {name for name, entry in variables.items() if "default" not in entry}
    assert without == {"service_principal", "notification_email", "node_type_id"}


@pytest.mark.parametrize("name", FILES)
def test_no_secret_address_or_person_in_the_files(name: str) -> None:
    text = (ROOT / name).read_text()
    for forbidden in (
        r"https?://",
        r"azuredatabricks|databricks\.com|\.net\b|\.com\b",
        r"\bdapi[0-9a-f]|\bdose[0-9a-f]|\bAKIA|\beyJ",
        r"[\w.]+@[\w.]+",
        r"[0-9a-f]{8}-[0-9a-f]{4}-|\b[0-9a-f]{32,}\b",
        r"(?i)^\s*[\w-]*(password|secret|token|host|profile)[\w-]*\s*:",
    ):
        assert not re.search(forbidden, text, re.MULTILINE), forbidden


JOB, MONITORING = "resources/training_job.yml", "resources/monitoring_job.yml"
CATALOG = "resources/unity_catalog.yml"


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (JOB, "${bundle.git.commit}", "${bundle.git.comit}", "parameters[7].default"),
        (JOB, "${resources.experiments.", "${resources.experiment.", "there is no experiment"),
        (JOB, "${var.notification_email}", "${var.mail}", f"{JOB}: resources.jobs.marvel_train"),
        (MONITORING, "marvel_training.id", "marvel_train.id", "there is no marvel_train"),
        (MONITORING, "marvel_training.id", "marvel_training.number", "there is no number"),
        (CATALOG, "${var.schema}", "${workspace.name}", f"{CATALOG}: resources.schemas.marvel"),
        (CATALOG, "${var.schema}", "${env.SCHEMA}", "not a reference that is known"),
        (CATALOG, "name: ${var.schema}", "name: ${resources.schemas.marvel.name}", "to itself"),
        ("databricks.yml", "catalog: mlops_acc", "catalogue: x", "targets.acc.variables.catalogue"),
        ("databricks.yml", "include:", "includes:", "databricks.yml: includes"),
        ("databricks.yml", "  tags: #", "  tag: #", "presets.tag"),
        ("databricks.yml", "default: mlops_dev", "defualt: mlops_dev", "variables.catalog.defualt"),
        ("databricks.yml", "scoring_job.yml", "scoring.yml", "scoring.yml"),
        ("databricks.yml", "level: CAN_VIEW", "level: CAN_SEE", "CAN_SEE"),
        ("databricks.yml", "  acc:", "  uat:", "targets.acc"),
    ],
)
def test_unresolvable_reference_is_rejected_with_file_and_key(
    tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    root = changed(tmp_path, file, old, new)
    with pytest.raises(BundleError) as error:
        of_target("acc", root=root)
    assert message in str(error.value)


def test_production_requires_values_without_default() -> None:
    with pytest.raises(BundleError, match=r"service_principal.*has no value"):
        load("prd")


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        (JOB, "op: EQUAL_TO", "op: EQUALS", "'EQUALS' is no ConditionTaskOp"),
        (JOB, "max_retries: 2", "max_retrys: 2", "max_retrys: Task has no such field"),
        (JOB, "timeout_seconds: 1800", "timeout_seconds: '1800'", "'1800' is not of type int"),
        (JOB, 'outcome: "true"', "outcome: true", "True is not of type str"),
        (JOB, "queue: {enabled: true}", "queue: {}", "queue: enabled is missing"),
        (JOB, "            op: EQUAL_TO\n", "", "op is missing"),
        (JOB, "      name: marvel_training", "      title: x", "name is missing"),
        (JOB, "RUN_DURATION_SECONDS", "RUN_SECONDS", "'RUN_SECONDS' is no JobsHealthMetric"),
        (JOB, "[{task_key: processing}]", "[{task_key: procesing}]", "no task procesing"),
        (JOB, "          task_key: training", "          task_key: processing", "have one key"),
        (JOB, "task_key: promoted, outcome", "task_key: training, outcome", "is no condition"),
        (JOB, ', outcome: "true"', "", "which outcome of promoted"),
        (
            JOB,
            "environment_key: default\n          max",
            "environment_key: d\n          max",
            "no environment d",
        ),
        (JOB, "tasks.training.values", "tasks.serving.values", "serving does not run before"),
        (JOB, "values.promoted", "values.promotion", "training leaves no value promotion"),
        (MONITORING, "values.retrain", "values.promoted", "refresh leaves no value promoted"),
        (
            MONITORING,
            "pipeline: monitoring",
            "pipeline: serving",
            "refresh leaves no value retrain",
        ),
        (
            MONITORING,
            "job_parameters:\n              catalog",
            "job_parameters:\n              catalogue",
            "marvel_training has no parameter catalogue",
        ),
        (MONITORING, "${resources.jobs.marvel_training.id}", "17", "no job of the bundle has"),
        (MONITORING, "${resources.jobs.marvel_training.id}", "'17'", "'17' is not of type int"),
        (MONITORING, "marvel_training.id", "marvel_monitoring.id", "they run each other"),
        (
            MONITORING,
            "          run_job_task:",
            "          environment_key: default\n          run_job_task:",
            "nor the run of a job needs compute",
        ),
        (JOB, "{{job.parameters.files}}", "{{job.parameters.file}}", "no parameter file"),
        (JOB, "0 0 3 ? * MON", "0 3 * * 1", "6 or 7 fields"),
        (JOB, "0 0 3 ? * MON", "0 0 3 * * MON", "exactly one of"),
        (JOB, "0 0 3 ? * MON", "0 0 3 ? * Monday", "Monday is not Quartz"),
        (JOB, "timezone_id: UTC", "timezone_id: Mars/Base", "no time zone"),
        (CATALOG, "volume_type: MANAGED", "volume_type: MANGED", "'MANGED' is no VolumeType"),
        (CATALOG, "READ_VOLUME", "READ_FILE", "'READ_FILE' is no Privilege"),
        (CATALOG, "      volume_type: MANAGED\n", "", "volume_type is missing"),
        (JOB, "  jobs:\n", "  monitors: {one: {}}\n  jobs:\n", "a kind of resource that no check"),
        (CATALOG, "volume_type: MANAGED", "title: x", "title: VolumeInfo has no such"),
        (CLASSIC, "data_security_mode: SINGLE_USER", "data_security_mode: ALONE", "'ALONE' is no"),
        (CLASSIC, "job_cluster_key: default", "job_cluster_key: other", "no cluster other"),
        (CLASSIC, "libraries: [{whl: ../dist/*.whl}]", "libraries: []", "no wheel"),
    ],
)
def test_mistyped_value_is_reported(
    tmp_path: Path, file: str, old: str, new: str, fault: str
) -> None:
    root = changed(tmp_path, file, old, new)
    faults = bundle_faults(of_target("acc", CLASSIC, root=root))
    assert [found for found in faults if fault in found], faults


def test_circular_tasks_are_reported(tmp_path: Path) -> None:
    old = "        - &task\n          task_key: processing\n"
    root = changed(tmp_path, JOB, old, f"{old}          depends_on: [{{task_key: training}}]\n")
    assert "wait for each other" in bundle_faults(of_target("acc", root=root))[0]
