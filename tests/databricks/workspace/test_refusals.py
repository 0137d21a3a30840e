"""A workspace that is busy, broken, silent or rejects requests: retries and messages."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from support.workspace import faults
from support.workspace.host import SCHEMA, Host
from support.workspace.server import TOKEN, ApiError, Reply

from marvel_kedro.model import registry
from marvel_kedro.model.aliases import move_alias
from marvel_kedro.model.packaging import log_candidate
from marvel_kedro.model.portable.predictor import TabularModel
from marvel_kedro.model.registry import LoggedModel
from marvel_kedro.project.error_messages import explain
from marvel_kedro.table.options import RecordedSplit

NAME = f"{SCHEMA}.marvel_characters"
FOREVER = 999


@pytest.fixture(scope="module")
def store(
    template: Path, model: TabularModel, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, LoggedModel]:
    """An SQLite store with a logged model."""
    folder = tmp_path_factory.mktemp("store")
    shutil.copy(template / "mlflow.db", folder)
    uri = f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    experiment = mlflow.create_experiment("e", artifact_location=(folder / "files").as_uri())
    with mlflow.start_run(experiment_id=experiment) as run:
        logged = LoggedModel(log_candidate(model, "m").model_uri, run.info.run_id, model.digest)
    return uri, logged


@pytest.fixture
def logged(store: tuple[str, LoggedModel], host: Host) -> LoggedModel:
    """The logged model, which is version 1 and the champion in a workspace."""
    mlflow.set_tracking_uri(store[0])
    mlflow.set_registry_uri("databricks-uc")
    move_alias(NAME, "champion", register(store[1]))
    return store[1]


def register(logged: LoggedModel, digest: str = "first") -> str:
    tags = registry.version_tags(logged, "file", "0" * 16, RecordedSplit(column="page_id"))
    return registry.register(NAME, logged.uri, tags | {"model_digest": digest})


def find(_: LoggedModel) -> str:
    champion = registry.find(NAME, "champion")
    assert champion
    return champion.version


def register_again(logged: LoggedModel) -> str:
    return register(logged)


def register_other(logged: LoggedModel) -> str:
    return register(logged, "other")


def promote(_: LoggedModel) -> str:
    move_alias(NAME, "champion", "1")
    return "1"


Act = Callable[[LoggedModel], str]
CALLS: list[tuple[Act, str]] = [
    (find, "GET .*/registered-models/alias"),
    (find, "GET .*/fs/files/"),
    (register_again, "/model-versions/search"),
    (register_other, "/model-versions/create"),
    (promote, "POST .*/registered-models/alias"),
]


def message_of(act: Act, logged: LoggedModel) -> str:
    """The message of a failing call."""
    with pytest.raises(Exception) as fault:  # noqa: PT011 - whatever a client raises
        act(logged)
    message = explain(fault.value)
    assert message, repr(fault.value)
    assert TOKEN not in message
    assert "make clean" not in message
    return message


@pytest.mark.parametrize(("act", "path"), CALLS)
def test_busy_workspace_is_retried(host: Host, logged: LoggedModel, act: Act, path: str) -> None:
    host.workspace.fail(faults.BUSY, path)
    assert act(logged) == ("2" if act is register_other else "1")


@pytest.mark.parametrize(("act", "path"), [call for call in CALLS if "files" not in call[1]])
def test_failed_request_is_retried(host: Host, logged: LoggedModel, act: Act, path: str) -> None:
    host.workspace.fail(faults.BROKEN, path)
    assert act(logged) == ("2" if act is register_other else "1")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("reply", "remedy"),
    [
        (faults.BROKEN, "busy, broken or out of reach"),
        (faults.DENIED, "CREATE MODEL ON SCHEMA"),
        (faults.EXPIRED, "Make a new one"),
        (faults.REVOKED, "DATABRICKS_TOKEN"),
    ],
    ids=["broken", "denied", "expired", "revoked"],
)
def test_rejected_request_gets_its_remedy(
    host: Host, logged: LoggedModel, call: tuple[Act, str], reply: Reply, remedy: str
) -> None:
    act, path = call
    host.workspace.fail(reply, path, FOREVER)
    message = message_of(act, logged)
    assert message.startswith("Databricks says: ")
    assert reply.body["message"] in message
    assert remedy in message
    assert "Config:" not in message


def test_workspace_that_stays_busy_is_reported(
    host: Host, logged: LoggedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT", "1")
    host.workspace.fail(faults.BUSY, "/registered-models/alias", FOREVER)
    assert "busy, broken or out of reach" in message_of(find, logged)


@pytest.fixture
def hurried(
    host: Host, logged: LoggedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user whose profile waits half a second; no variable says how long one request may take."""
    profiles = tmp_path / "profiles.cfg"
    lines = {
        "host": host.workspace.url,
        "token": host.workspace.token,
        "http_timeout_seconds": "0.5",
        "retry_timeout_seconds": "1",
    }
    profiles.write_text(
        "\n".join(["[hurried]", *(f"{name} = {value}" for name, value in lines.items())])
    )
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(profiles))
    monkeypatch.setenv("DATABRICKS_CONFIG_PROFILE", "hurried")
    monkeypatch.delenv("DATABRICKS_HOST")
    monkeypatch.delenv("DATABRICKS_TOKEN")
    monkeypatch.setenv("MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT", "1")


@pytest.mark.usefixtures("hurried")
def test_hanging_workspace_is_reported(host: Host, logged: LoggedModel) -> None:
    assert find(logged) == "1"
    host.workspace.fail(faults.HANG, "/registered-models/alias", FOREVER)
    start = time.monotonic()
    assert "busy, broken or out of reach" in message_of(find, logged)
    assert time.monotonic() - start < 5


def test_hanging_workspace_is_reported_without_the_sdk(
    host: Host, logged: LoggedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_DB_SDK", "false")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    host.workspace.fail(faults.HANG, "/registered-models/alias", FOREVER)
    assert "busy, broken or out of reach" in message_of(find, logged)


def test_wrong_or_missing_token_is_reported(
    host: Host, logged: LoggedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-of-another")
    message = message_of(find, logged)
    assert "not of this workspace" in message
    assert "dapi-of-another" not in message
    monkeypatch.delenv("DATABRICKS_TOKEN")
    assert "set DATABRICKS_HOST and DATABRICKS_TOKEN" in message_of(find, logged)


def test_echoed_token_is_masked(host: Host, logged: LoggedModel) -> None:
    echo = ApiError(401, "UNAUTHENTICATED", f"Access token {TOKEN} has expired").reply
    host.workspace.fail(echo, "", FOREVER)
    assert "Access token *** has expired" in message_of(find, logged)


def test_missing_schema_is_reported(host: Host, logged: LoggedModel) -> None:
    del host.catalog.things["schemas"][SCHEMA]
    del host.registry.models[NAME]
    message = message_of(register_again, logged)
    assert f"'{SCHEMA}' does not exist" in message
    assert "whether the catalog, the schema" in message


@pytest.mark.parametrize(
    "code", ["NOT_FOUND", "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"]
)
def test_missing_alias_is_recognised_by_any_error_code(
    host: Host, logged: LoggedModel, code: str
) -> None:
    host.registry.alias_absent = code
    assert registry.find(NAME, "challenger") is None


def test_version_that_was_killed_during_registration_is_registered_again(
    host: Host, logged: LoggedModel
) -> None:
    host.workspace.fail(faults.DENIED, "/model-versions/finalize")
    with pytest.raises(Exception, match="PERMISSION_DENIED"):
        register(logged, "other")
    assert register(logged, "other") == "3"
    assert register(logged, "other") == "3"


def test_missing_model_files_are_reported_as_such(host: Host, logged: LoggedModel) -> None:
    host.files.contents.clear()
    assert register(logged) == "2"
