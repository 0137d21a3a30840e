"""`kedro deploy` and `kedro endpoint` as the terminal runs them."""

import mlflow
import pytest
from support.project import Outcome, Project
from support.workspace import faults
from support.workspace.host import SCHEMA, Host
from support.workspace.server import ApiError, Reply, Request, Route, Workspace

from marvel_kedro import cli
from marvel_kedro.cli import job
from marvel_kedro.model import registry
from marvel_kedro.model.aliases import move_alias
from marvel_kedro.model.packaging import log_candidate
from marvel_kedro.model.portable.predictor import TabularModel
from marvel_kedro.table.options import RecordedSplit

MODEL = f"{SCHEMA}.marvel_characters"


def deploy(project: Project, *arguments: str) -> Outcome:
    return project.cli(*arguments, command=cli.deploy)


def writes(host: Host) -> int:
    return len(host.workspace.seen("(POST|PUT|PATCH|DELETE) /api/2.0/serving-endpoints"))


@pytest.fixture
def governed(project: Project, host: Host, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose model is in a workspace."""
    catalog, _, schema = SCHEMA.partition(".")
    monkeypatch.setenv("MARVEL_CATALOG", catalog)
    monkeypatch.setenv("MARVEL_SCHEMA", schema)
    host.registry.put(MODEL, "1", "champion")
    host.serving.polls = 0
    return project


def test_deploy_to_databricks_plans_creates_and_repeats(
    governed: Project, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = ("--target", "databricks")
    planned = deploy(governed, *to, "--dry-run")
    assert planned.status == 0, planned.output
    assert "- the endpoint 'marvel_characters' is new: champion version 1" in planned.output
    assert "The endpoint 'marvel_characters' would change." in planned.output
    assert writes(host) == 0

    done = deploy(governed, *to)
    assert done.status == 0, done.output
    assert "The endpoint 'marvel_characters' serves." in done.output
    assert host.serving.served("marvel_characters") == {"champion": "1"}
    gateway = host.serving.endpoints["marvel_characters"]["ai_gateway"]
    table = gateway["inference_table_config"]
    assert f"{table['catalog_name']}.{table['schema_name']}" == SCHEMA
    assert gateway["rate_limits"][0]["calls"] == 6000

    again = deploy(governed, *to)
    assert "The endpoint 'marvel_characters' is as configured." in again.output
    assert writes(host) == 1

    monkeypatch.setenv("MARVEL_ENDPOINT", "jane_characters")
    deploy(governed, *to)
    assert set(host.serving.endpoints) == {"marvel_characters", "jane_characters"}


THREE = """
endpoint:
  served_entities:
    - {name: champion, alias: champion}
    - {name: challenger, alias: challenger}
    - {name: third, version: "3"}
  traffic: {champion: 100, challenger: 0, third: 0}
"""


def test_shift_starts_from_served_shares(governed: Project, host: Host) -> None:
    """A shift starts from the served shares, not from the parameters."""
    mine = governed.path / "conf" / "lakehouse" / "parameters.yml"
    mine.write_text(THREE)
    host.registry.put(MODEL, "2", "challenger")
    host.registry.put(MODEL, "3")

    def move(*arguments: str) -> Outcome:
        return governed.cli(*arguments, "--target", "databricks", command=cli.endpoint)

    def last_line(*arguments: str) -> str:
        return move(*arguments).output.splitlines()[-1]

    nothing = move("shift", "third", "50")
    assert (nothing.status, "kedro deploy --target databricks" in nothing.output) == (1, True)
    assert deploy(governed, "--target", "databricks").status == 0
    name = "marvel_characters"
    assert (
        last_line("shift", "challenger", "40")
        == f"{name}: champion 60 %, challenger 40 %, third 0 %"
    )
    assert (
        last_line("shift", "third", "50") == f"{name}: champion 30 %, challenger 20 %, third 50 %"
    )
    assert (
        last_line("ramp", "third", "--steps", "0,10", "--minutes", "0")
        == f"{name}: champion 54 %, challenger 36 %, third 10 %"
    )
    assert host.serving.traffic(name) == {"champion": 54, "challenger": 36, "third": 10}
    unknown = move("shift", "fourth", "10")
    assert unknown.status == 1
    assert "fourth is not served: champion, challenger, third are" in unknown.output
    assert last_line("reset") == f"{name}: champion 100 %, challenger 0 %, third 0 %"
    assert host.serving.traffic(name) == {"champion": 100, "challenger": 0, "third": 0}


def test_deploy_reports_errors_in_one_message(governed: Project, host: Host) -> None:
    to = ("--target", "databricks")
    host.workspace.fail(faults.EXPIRED, "registered-models/alias")  # MLflow's client
    done = deploy(governed, *to)
    assert (done.status, "Make a new one" in done.output) == (1, True)
    host.workspace.fail(ApiError(403, "PERMISSION_DENIED", "No.").reply, "POST .*endpoints$")
    done = deploy(governed, *to)
    assert (done.status, "Have it granted" in done.output) == (1, True)
    assert host.workspace.token not in done.output
    done = deploy(governed, *to, "--env", "base")
    assert (done.status, "kedro deploy --env lakehouse" in done.output) == (1, True)
    host.registry.models.clear()
    done = deploy(governed, *to)
    assert (done.status, "has nothing to serve" in done.output) == (1, True)
    (governed.path / "conf" / "local" / "parameters.yml").write_text("endpoint: {nam: x}\n")
    done = deploy(governed, "--target", "local")
    assert (done.status, "- endpoint.nam: " in done.output) == (1, True)
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--command", "run"], "needs a --pipeline"),
        (["--command", "deploy", "--pipeline", "serving"], "takes neither"),
        (["--command", "deploy", "--params", "a=1"], "takes neither"),
    ],
)
def test_job_rejects_contradictory_options(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        job.main.main(arguments)
    assert message in capsys.readouterr().err


class Server:
    """The invocations of `kedro serve`, as a client sees them."""

    reply = Reply({"predictions": [{"prediction": "Alive"}]}, headers={"served-model-name": "c"})

    def routes(self) -> list[Route]:
        return [("POST", "/serving-endpoints/marvel_characters/invocations", self.answer)]

    def answer(self, request: Request) -> Reply:
        assert request.fields["dataframe_records"]
        return self.reply


@pytest.fixture
def trained(project: Project, model: TabularModel) -> Project:
    """A project with a champion in its store."""
    mlflow.set_tracking_uri(f"sqlite:///{project.path}/mlflow.db")
    files = (project.path / "mlartifacts").as_uri()
    experiment = mlflow.create_experiment("e", artifact_location=files)
    with mlflow.start_run(experiment_id=experiment):
        uri = log_candidate(model, "m").model_uri
    tags = registry.version_tags(
        registry.LoggedModel(uri, "", model.digest),
        "file",
        "0" * 16,
        RecordedSplit(column="page_id"),
    )
    move_alias("marvel_characters", "champion", registry.register("marvel_characters", uri, tags))
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type] # the commands set it
    return project


def test_local_deploy_smoke_tests_running_server(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = trained.path / "conf" / "local" / "parameters.yml"
    with Workspace(Server()) as server:
        port = server.url.rpartition(":")[2]
        mine.write_text(f"server: {{port: {port}, host: 0.0.0.0}}\n")
        done = deploy(trained)
        assert (done.status, "Set MARVEL_TOKENS" in done.output) == (1, True)
        monkeypatch.setenv("MARVEL_TOKENS", f"me:{server.token},you:other")
        done = deploy(trained)
        assert done.status == 0, done.output
        assert "- champion: version 1 of marvel_characters, 100 % of the traffic" in done.output
        assert "- challenger: not served, no version has the alias" in done.output
        assert "answers, by c: " in done.output
        assert server.token not in done.output
        server.fail(ApiError(404, "ENDPOINT_NOT_FOUND", "No such endpoint.").reply)
        done = deploy(trained)
        assert (done.status, "status 404" in done.output) == (1, True)
    done = deploy(trained)
    assert done.status == 1
    assert f"http://127.0.0.1:{port} (server.host, server.port)" in done.output
    assert "kedro serve" in done.output


def test_local_deploy_reports_version_without_files(trained: Project) -> None:
    (trained.path / "mlartifacts").rename(trained.path / "elsewhere")
    done = deploy(trained)
    assert done.status == 1
    assert "is the served entity 'champion', but its files cannot be loaded" in done.output
