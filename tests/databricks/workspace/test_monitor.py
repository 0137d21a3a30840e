"""The managed monitor, through the real databricks-sdk, with faults."""

import logging
from typing import Any

import databricks.sdk.clock
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.dataquality import (
    DataProfilingConfig,
    Monitor,
    SnapshotConfig,
)
from support.workspace import faults
from support.workspace.clock import Clock
from support.workspace.host import SCHEMA, Host
from support.workspace.identity import USER
from support.workspace.quality import DataQuality
from support.workspace.server import TOKEN, ApiError, Reply, Request

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks import monitor, workspace
from marvel_kedro.monitoring.options import ManagedMonitorOptions

LOG, BASELINE = f"{SCHEMA}.inference_log", f"{SCHEMA}.monitoring_baseline"
METRICS = (f"{LOG}_profile_metrics", f"{LOG}_drift_metrics")
CHANGES = "(POST|PATCH) /api/data-quality/v1/monitors(/table/[^/]+)?$"
REFRESHES = "POST .*/refreshes$"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(databricks.sdk.clock, "time", clock)  # of the SDK's own tries
    monkeypatch.setattr(monitor, "time", clock)
    return clock


@pytest.fixture
def quality(host: Host) -> DataQuality:
    """A workspace with the tables and managed monitors."""
    columns = ["request_time", "prediction", "alive", "model_version", "gender", "universe"]
    for table in (LOG, BASELINE):
        host.catalog.put("tables", table, columns=[{"name": name} for name in columns])
    quality = DataQuality(host.catalog)
    host.workspace.add(quality)
    return quality


@pytest.fixture
def client(quality: DataQuality) -> WorkspaceClient:
    return workspace.connect()


def refreshed(client: WorkspaceClient, **changes: Any) -> tuple[str, str]:
    asked: dict[str, Any] = {
        "baseline_table": BASELINE,
        "granularities": ["1 hour", "1 day"],
        "slices": ["gender", "universe = 'Earth-616'"],
        "label": "alive",
    }
    asked |= changes
    options = ManagedMonitorOptions.model_validate(asked.pop("options", {}))
    return monitor.refresh(client, options, LOG, **asked)


def fails(client: WorkspaceClient, **changes: Any) -> str:
    """The message of a failing refresh."""
    with pytest.raises(ProjectError) as fault:
        refreshed(client, **changes)
    message = str(fault.value)
    assert LOG in message
    assert TOKEN not in message
    assert "Config:" not in message
    return message


def sent(host: Host, what: str, since: int = 0) -> list[Request]:
    return host.workspace.seen(what)[since:]


def test_refresh_creates_the_monitor_and_returns_its_tables(
    host: Host, client: WorkspaceClient
) -> None:
    assert refreshed(client) == METRICS
    (made,) = sent(host, CHANGES)
    config = made.fields["data_profiling_config"]
    assert made.fields["object_id"] == host.catalog.find("tables", LOG)["table_id"]
    assert config == {
        "output_schema_id": host.catalog.find("schemas", SCHEMA)["schema_id"],
        "assets_dir": f"/Workspace/Users/{USER}/databricks_quality_monitoring/{LOG}",
        "skip_builtin_dashboard": True,
        "baseline_table_name": BASELINE,
        "slicing_exprs": ["gender", "universe = 'Earth-616'"],
        "inference_log": {
            "problem_type": "INFERENCE_PROBLEM_TYPE_CLASSIFICATION",
            "timestamp_column": "request_time",
            "granularities": ["AGGREGATION_GRANULARITY_1_HOUR", "AGGREGATION_GRANULARITY_1_DAY"],
            "prediction_column": "prediction",
            "model_id_column": "model_version",
            "label_column": "alive",
        },
    }
    assert len(sent(host, REFRESHES)) == 1


def test_second_refresh_changes_nothing_in_the_monitor(host: Host, client: WorkspaceClient) -> None:
    refreshed(client)
    # Neither an order nor the case of names makes a difference.
    again = refreshed(
        client,
        slices=["universe = 'Earth-616'", "gender"],
        granularities=["1 day", "1 hour"],
        options={"dashboard": True, "assets_dir": "/Workspace/Shared/elsewhere"},
    )
    assert again == METRICS
    assert len(sent(host, CHANGES)) == 1
    assert len(sent(host, REFRESHES)) == 2


@pytest.mark.parametrize(
    "change",
    [
        ({"slices": ["gender"]}, "slicing_exprs"),
        ({"slices": []}, "slicing_exprs"),
        ({"baseline_table": None}, "baseline_table_name"),
        ({"granularities": ["1 week"]}, "inference_log"),
    ],
)
def test_update_sets_only_fields_that_differ(
    host: Host,
    quality: DataQuality,
    client: WorkspaceClient,
    change: tuple[dict[str, Any], str],
) -> None:
    changes, field = change
    refreshed(client)
    theirs = quality.monitors[host.catalog.find("tables", LOG)["table_id"]]
    theirs["data_profiling_config"]["notification_settings"] = {"on_failure": {}}
    refreshed(client, **changes)
    (_, changed) = sent(host, CHANGES)
    assert changed.query["update_mask"] == f"data_profiling_config.{field}"
    assert changed.fields["data_profiling_config"].keys() <= {"output_schema_id", field}
    config = quality.config(LOG)
    assert config["notification_settings"] == {"on_failure": {}}
    assert config["assets_dir"].endswith(LOG)
    if "granularities" in changes:
        log = config["inference_log"]
        assert log["granularities"] == ["AGGREGATION_GRANULARITY_1_WEEK"]
        assert log["label_column"] == "alive"
    else:
        assert config.get(field) == (next(iter(changes.values())) or None)
    refreshed(client, **changes)
    assert len(sent(host, CHANGES)) == 2


def test_folder_dashboard_and_warehouse_are_set_on_creation(
    quality: DataQuality, client: WorkspaceClient
) -> None:
    made = {"dashboard": True, "warehouse_id": "w", "assets_dir": "/Workspace/Shared/monitors"}
    refreshed(client, options=made)
    config = quality.config(LOG)
    assert config["assets_dir"] == "/Workspace/Shared/monitors"
    assert (config["skip_builtin_dashboard"], config["warehouse_id"]) == (False, "w")


def test_polling_slows_down(
    host: Host, quality: DataQuality, client: WorkspaceClient, clock: Clock
) -> None:
    quality.pending, quality.polls = 4, 9
    assert refreshed(client) == METRICS
    assert clock.slept[:3] == [5.0, 10.0, 20.0]
    assert max(clock.slept) == 60.0
    # The platform's own refresh of a new monitor, then the requested one.
    table = host.catalog.find("tables", LOG)["table_id"]
    assert [one["trigger"][-6:] for one in quality.refreshes[table]] == ["NKNOWN", "MANUAL"]


def test_rerun_continues_with_a_monitor_or_refresh_in_progress(
    host: Host, quality: DataQuality, client: WorkspaceClient
) -> None:
    """A task was killed while it waited for its new monitor, and another during its refresh."""
    quality.pending = 3
    host.workspace.fail(faults.EXPIRED, "GET .*/table/[^/]+$", after=2)
    assert "Make a new one" in fails(client)
    assert refreshed(client) == METRICS
    assert len(sent(host, CHANGES)) == 1
    quality.polls = 5
    host.workspace.fail(faults.EXPIRED, "GET .*/refreshes/", after=1)
    message = fails(client)
    assert "could not be watched any longer; its refresh continues without that" in message
    assert refreshed(client) == METRICS
    assert len(sent(host, CHANGES)) == 1


def test_monitor_in_deletion_is_created_again(
    host: Host, quality: DataQuality, client: WorkspaceClient
) -> None:
    refreshed(client)
    quality.pending = 3
    client.data_quality.delete_monitor("table", host.catalog.find("tables", LOG)["table_id"])
    assert refreshed(client) == METRICS
    assert len(sent(host, CHANGES)) == 2


def test_broken_monitor_is_set_again(
    host: Host,
    quality: DataQuality,
    client: WorkspaceClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    quality.status, quality.message = "FAILED", f"No compute: https://u:p@host {TOKEN}"
    message = fails(client)
    assert "names no tables of metrics" in message
    assert "databricks data-quality delete-monitor table " in message
    assert "is broken: No compute: https://host ***" in caplog.text
    quality.status, quality.message = "ACTIVE", ""
    assert refreshed(client) == METRICS
    (_, changed) = sent(host, CHANGES)
    assert set(changed.query["update_mask"].split(",")) == {
        f"data_profiling_config.{field}"
        for field in ("baseline_table_name", "slicing_exprs", "inference_log")
    }


def test_monitor_without_metrics_tables_is_reported(
    quality: DataQuality, client: WorkspaceClient
) -> None:
    quality.half = True
    message = fails(client)
    assert "was refreshed, but names no tables of metrics" in message
    assert "monitoring.computed_by: project" in message


def test_monitor_of_another_kind_is_left_unchanged(host: Host, client: WorkspaceClient) -> None:
    table = host.catalog.find("tables", LOG)["table_id"]
    schema = host.catalog.find("schemas", SCHEMA)["schema_id"]
    config = DataProfilingConfig(schema, snapshot=SnapshotConfig())
    theirs = Monitor("table", table, data_profiling_config=config)
    # The SDK leaves an empty object out.
    theirs_sent = theirs.as_dict()
    theirs_sent["data_profiling_config"]["snapshot"] = {}
    client.api_client.do("POST", "/api/data-quality/v1/monitors", body=theirs_sent)
    assert "not for an inference log. Delete it" in fails(client)
    assert len(sent(host, CHANGES)) == 1


@pytest.mark.parametrize(
    ("end", "expected"), [("FAILED", "failed: Division by zero."), ("CANCELED", "was cancelled")]
)
def test_failed_refresh_is_reported_with_its_reason(
    quality: DataQuality,
    client: WorkspaceClient,
    end: str,
    expected: str,
) -> None:
    refreshed(client)
    quality.end, quality.message = end, "Division by zero."
    message = fails(client)
    assert f"Refresh 3 of the managed monitor of '{LOG}' {expected}" in message
    assert "monitoring.computed_by: project" in message
    quality.end = "SUCCESS"
    assert refreshed(client) == METRICS


def test_refresh_of_another_client_is_followed_by_a_further_one(
    host: Host, quality: DataQuality, client: WorkspaceClient
) -> None:
    refreshed(client)
    quality.polls = 4
    table = host.catalog.find("tables", LOG)["table_id"]
    theirs = quality.begin_refresh(table, "SCHEDULE")
    refreshed(client)
    assert theirs["state"] == "MONITOR_REFRESH_STATE_SUCCESS"
    assert len(quality.refreshes[table]) == 4


def test_refresh_reports_a_conflict_with_another_client(
    host: Host, client: WorkspaceClient
) -> None:
    refreshed(client)
    conflict = ApiError(409, "RESOURCE_CONFLICT", "A refresh is under way.").reply
    host.workspace.fail(conflict, REFRESHES)
    assert "Another client changes or refreshes it" in fails(client)
    assert refreshed(client) == METRICS


@pytest.mark.parametrize(
    ("endless", "expected"),
    [("pending", "A change of the managed"), ("polls", "started by another client, has not ended")],
)
def test_waiting_for_other_clients_has_a_time_limit(
    quality: DataQuality, client: WorkspaceClient, clock: Clock, endless: str, expected: str
) -> None:
    setattr(quality, endless, 10**6)
    started = clock.now
    message = fails(client, options={"timeout_minutes": 30})
    assert expected in message
    assert "has not ended after 30 minutes" in message
    assert 1800 <= clock.now - started < 1900


def test_waiting_for_a_refresh_has_a_time_limit(
    quality: DataQuality, client: WorkspaceClient
) -> None:
    refreshed(client)
    quality.polls = 10**6
    message = fails(client, options={"timeout_minutes": 0.5})
    assert f"Refresh 3 of the managed monitor of '{LOG}' has not ended after 0.5 minutes" in message
    assert "It continues in the workspace" in message


@pytest.mark.parametrize(
    "path",
    [
        "GET .*/tables/.*log$",
        "GET .*/schemas/",
        "GET .*/monitors/table/[^/]+$",
        "POST .*/monitors$",
        "GET .*/refreshes$",
        REFRESHES,
        "GET .*/refreshes/",
    ],
)
@pytest.mark.parametrize(
    "refusal",
    [
        (
            ApiError(403, "PERMISSION_DENIED", "User does not have MANAGE.").reply,
            "SELECT and MANAGE",
        ),
        (faults.EXPIRED, "Make a new one"),
        (faults.REVOKED, "Make a new one"),
        (faults.BROKEN, "busy, broken or out of reach"),
        (
            ApiError(400, "INVALID_PARAMETER_VALUE", "Not so.").reply,
            "Fix monitoring.granularities",
        ),
    ],
    ids=["privilege", "expired", "revoked", "broken", "bad"],
)
def test_rejected_request_gets_its_remedy(
    host: Host, client: WorkspaceClient, path: str, refusal: tuple[Reply, str]
) -> None:
    reply, remedy = refusal
    host.workspace.fail(reply, path)
    message = fails(client)
    assert reply.body["message"] in message
    assert remedy in message
    assert refreshed(client) == METRICS


def test_busy_workspace_is_retried(host: Host, client: WorkspaceClient) -> None:
    for path in ("GET .*/tables/", "POST .*/monitors$", REFRESHES, "GET .*/refreshes/"):
        host.workspace.fail(faults.BUSY, path, times=3)
    assert refreshed(client) == METRICS


@pytest.mark.parametrize("missing", [LOG, BASELINE])
def test_missing_table_is_reported(host: Host, client: WorkspaceClient, missing: str) -> None:
    del host.catalog.things["tables"][missing]
    with pytest.raises(ProjectError, match=rf"'{missing}' could not be looked up[^§]*--pipelines"):
        refreshed(client)
    assert sent(host, CHANGES) == []


def test_unknown_column_is_reported(host: Host, client: WorkspaceClient) -> None:
    host.catalog.find("tables", LOG)["columns"].pop(2)
    message = fails(client)
    assert "['alive'] are not in" in message
    assert "Fix monitoring.granularities" in message


def test_unsupported_granularity_is_reported(host: Host, client: WorkspaceClient) -> None:
    with pytest.raises(ProjectError, match=r"monitoring\.granularities: .* 2 hours"):
        refreshed(client, granularities=["1 day", "2 hours"])
    assert sent(host, CHANGES) == []


def test_progress_is_logged(client: WorkspaceClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "marvel_kedro")
    refreshed(client)
    refreshed(client, slices=["gender"])
    assert f"The managed monitor of '{LOG}' is new." in caplog.messages
    assert any("slicing_exprs: ['gender', \"universe" in line for line in caplog.messages)
    assert f"The managed monitor of '{LOG}' is being refreshed." in caplog.messages
