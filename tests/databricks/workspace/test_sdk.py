"""The real databricks-sdk against the workspace."""

import io

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, PermissionDenied, Unauthenticated
from databricks.sdk.service.catalog import PermissionsChange, Privilege, SecurableType
from support.workspace import faults
from support.workspace.host import SCHEMA, Host
from support.workspace.identity import USER
from support.workspace.server import WORKSPACE_ID, Reply, Request, Route


def client(host: Host, token: str | None = None) -> WorkspaceClient:
    return WorkspaceClient(host=host.workspace.url, token=token or host.workspace.token)


def test_current_user_is_returned(host: Host) -> None:
    me = client(host)
    assert me.current_user.me().user_name == USER
    assert me.get_workspace_id() == int(WORKSPACE_ID)
    assert me.config.workspace_id == WORKSPACE_ID


def test_catalog_objects_are_created_and_read(host: Host) -> None:
    host.catalog.put("tables", f"{SCHEMA}.records", table_type="MANAGED")
    api = client(host)
    assert [found.name for found in api.catalogs.list()] == ["mlops_dev"]
    assert [found.full_name for found in api.schemas.list("mlops_dev")] == [SCHEMA]
    assert [found.name for found in api.tables.list("mlops_dev", "marvel_characters")]
    assert not list(api.tables.list("mlops_dev", "other"))
    assert api.tables.get(f"{SCHEMA}.records").schema_name == "marvel_characters"
    assert api.schemas.create("landing", "mlops_dev").full_name == "mlops_dev.landing"
    with pytest.raises(NotFound):
        api.volumes.read(f"{SCHEMA}.none")


def test_grants_are_set_and_read(host: Host) -> None:
    grants = client(host).grants
    kind = SecurableType.SCHEMA.value

    def change(principal: str, **how: list[Privilege]) -> None:
        grants.update(kind, SCHEMA, changes=[PermissionsChange(principal=principal, **how)])

    def held() -> dict[str | None, list[Privilege] | None]:
        assignments = grants.get(kind, SCHEMA).privilege_assignments or []
        return {one.principal: one.privileges for one in assignments}

    change("trainers", add=[Privilege.USE_SCHEMA, Privilege.CREATE_MODEL])
    change("readers", add=[Privilege.USE_SCHEMA])
    assert held() == {
        "trainers": [Privilege.CREATE_MODEL, Privilege.USE_SCHEMA],
        "readers": [Privilege.USE_SCHEMA],
    }
    change("trainers", remove=[Privilege.CREATE_MODEL])
    change("readers", remove=[Privilege.USE_SCHEMA])
    assert held() == {"trainers": [Privilege.USE_SCHEMA]}
    sent = host.workspace.seen("PATCH .*/permissions/")[0].fields
    assert sent == {"changes": [{"principal": "trainers", "add": ["USE_SCHEMA", "CREATE_MODEL"]}]}
    with pytest.raises(NotFound, match="does not exist"):
        grants.get(kind, "mlops_dev.none")


def test_job_is_found_and_run(host: Host) -> None:
    host.jobs.put(7, "train")
    api = client(host).jobs
    (job,) = api.list(name="train")
    run = api.run_now(job.job_id or 0, job_parameters={"env": "lakehouse"}).result()
    assert run.state
    assert run.state.result_state
    assert run.state.result_state.value == "SUCCESS"
    assert [(one.name, one.value) for one in run.job_parameters or []] == [("env", "lakehouse")]
    with pytest.raises(NotFound):
        api.get(8)


def test_files_are_uploaded_and_downloaded(host: Host) -> None:
    files = client(host).files
    for name, content in {"folder/a": b"full", "empty": b""}.items():
        files.upload(f"/Volumes/c/s/v/{name}", io.BytesIO(content))
        got = files.download(f"/Volumes/c/s/v/{name}").contents
        assert got
        assert got.read() == content
    listed = {
        found.name: found.is_directory for found in files.list_directory_contents("/Volumes/c/s/v")
    }
    assert listed == {"folder": True, "empty": False}
    with pytest.raises(NotFound):
        files.get_metadata("/Volumes/c/s/v/none")


def test_busy_workspace_is_retried(host: Host) -> None:
    api = client(host)
    host.workspace.fail(faults.BUSY, "scim")
    assert api.current_user.me().user_name == USER
    assert len(host.workspace.seen("scim")) == 2


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (faults.DENIED, PermissionDenied),
        (faults.REVOKED, PermissionDenied),
        (faults.EXPIRED, Unauthenticated),
    ],
)
def test_rejected_request_is_not_retried(host: Host, reply: Reply, error: type[Exception]) -> None:
    api = client(host)
    host.workspace.fail(reply, "scim")
    with pytest.raises(error):
        api.current_user.me()
    assert len(host.workspace.seen("scim")) == 1
    assert api.current_user.me().user_name == USER


def test_wrong_token_is_rejected(host: Host) -> None:
    with pytest.raises(Unauthenticated) as fault:
        client(host, "dapi-wrong").current_user.me()
    assert "dapi-wrong" not in str(fault.value)


def test_another_api_can_be_added(host: Host) -> None:
    class Warehouses:
        def routes(self) -> list[Route]:
            return [("GET", "/api/2.0/sql/warehouses/{name}", self.get)]

        def get(self, request: Request) -> dict[str, str]:
            return {"name": request.names["name"]}

    host.workspace.add(Warehouses())
    assert client(host).warehouses.get("small").name == "small"
