"""The managed monitor, through the real databricks-sdk, faults included."""

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
from marvel_kedro.databricks import workspace
from marvel_kedro.databricks.monitor import refresh
from marvel_kedro.databricks.monitored_table import MetricsTables
from marvel_kedro.monitoring.options import ManagedMonitorOptions

LOG, BASELINE = f"{SCHEMA}.inference_log", f"{SCHEMA}.monitoring_baseline"
METRICS = MetricsTables(f"{LOG}_profile_metrics", f"{LOG}_drift_metrics")
CHANGES = "(POST|PATCH) /api/data-quality/v1/monitors(/table/[^/]+)?$"
REFRESHES = "POST .*/refreshes$"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(databricks.sdk.clock, "time", clock)  # of the SDK's own tries
    return clock


@pytest.fixture
def quality(host: Host) -> DataQuality:
    """A workspace that has the tables, and can monitor them."""
    columns = ["request_time", "prediction", "alive", "model_version", "gender", "universe"]
    for table in (LOG, BASELINE):
        host.catalog.put("tables", table, columns=[{"name": name} for name in columns])
    quality = DataQuality(host.catalog)
    host.workspace.add(quality)
    return quality


@pytest.fixture
def client(quality: DataQuality) -> WorkspaceClient:
    return workspace.connect()


def refreshed(client: WorkspaceClient, clock: Clock, **changes: Any) -> MetricsTables:
    asked: dict[str, Any] = {
        "baseline_table": BASELINE,
        "granularities": ["1 hour", "1 day"],
        "slices": ["gender", "universe = 'Earth-616'"],
    }
    asked |= changes
    options = ManagedMonitorOptions.model_validate(asked.pop("options", {}))
    return refresh(client, options, LOG, **asked, sleep=clock.sleep, monotonic=clock.monotonic)


def fails(client: WorkspaceClient, clock: Clock, **changes: Any) -> str:
    """What the user reads of a refresh that fails."""
    with pytest.raises(ProjectError) as fault:
        refreshed(client, clock, **changes)
    said = str(fault.value)
    assert LOG in said
    assert TOKEN not in said
    assert "Config:" not in said
    return said


def sent(host: Host, what: str, since: int = 0) -> list[Request]:
    return host.workspace.seen(what)[since:]


def test_it_is_made_refreshed_and_says_where_the_metrics_are(
    host: Host, client: WorkspaceClient, clock: Clock
) -> None:
    assert refreshed(client, clock) == METRICS
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


def test_a_second_call_refreshes_and_changes_nothing(
    host: Host, client: WorkspaceClient, clock: Clock
) -> None:
    refreshed(client, clock)
    # Neither an order nor the case of names makes a difference.
    again = refreshed(
        client,
        clock,
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
def test_only_what_differs_is_changed(
    host: Host,
    quality: DataQuality,
    client: WorkspaceClient,
    clock: Clock,
    change: tuple[dict[str, Any], str],
) -> None:
    changes, field = change
    refreshed(client, clock)
    theirs = quality.monitors[host.catalog.find("tables", LOG)["table_id"]]
    theirs["data_profiling_config"]["notification_settings"] = {"on_failure": {}}
    refreshed(client, clock, **changes)
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
    refreshed(client, clock, **changes)
    assert len(sent(host, CHANGES)) == 2


def test_options_count_when_it_is_made(
    quality: DataQuality, client: WorkspaceClient, clock: Clock
) -> None:
    made = {"dashboard": True, "warehouse_id": "w", "assets_dir": "/Workspace/Shared/monitors"}
    refreshed(client, clock, options=made)
    config = quality.config(LOG)
    assert config["assets_dir"] == "/Workspace/Shared/monitors"
    assert (config["skip_builtin_dashboard"], config["warehouse_id"]) == (False, "w")


def test_it_is_waited_for_patiently(
    host: Host, quality: DataQuality, client: WorkspaceClient, clock: Clock
) -> None:
    quality.pending, quality.polls = 4, 9
    assert refreshed(client, clock) == METRICS
    assert clock.slept[:3] == [5.0, 10.0, 20.0]
    assert max(clock.slept) == 60.0
    # The platform's own refresh of a new monitor, then the one that was asked for.
    table = host.catalog.find("tables", LOG)["table_id"]
    assert [one["trigger"][-6:] for one in quality.refreshes[table]] == ["NKNOWN", "MANUAL"]


def test_a_monitor_that_was_being_made_is_gone_on_with(
    host: Host, quality: DataQuality, client: WorkspaceClient, clock: Clock
) -> None:
    """A task was killed while it waited for its new monitor, another in its refresh."""
    quality.pending = 3
    host.workspace.fail(faults.EXPIRED, "GET .*/table/[^/]+$", after=2)
    assert "Make a new one" in fails(client, clock)
    assert refreshed(client, clock) == METRICS
    assert len(sent(host, CHANGES)) == 1
    quality.polls = 5
    host.workspace.fail(faults.EXPIRED, "GET .*/refreshes/", after=1)
    said = fails(client, clock)
    assert "could not be watched any longer; its refresh continues without that" in said
    assert refreshed(client, clock) == METRICS
    assert len(sent(host, CHANGES)) == 1


def test_a_monitor_that_is_being_deleted_is_made_anew(
    host: Host, quality: DataQuality, client: WorkspaceClient, clock: Clock
) -> None:
    refreshed(client, clock)
    quality.pending = 3
    client.data_quality.delete_monitor("table", host.catalog.find("tables", LOG)["table_id"])
    assert refreshed(client, clock) == METRICS
    assert len(sent(host, CHANGES)) == 2


def test_a_broken_monitor_is_set_again(
    host: Host,
    quality: DataQuality,
    client: WorkspaceClient,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    quality.status, quality.message = "FAILED", f"No compute: https://u:p@host {TOKEN}"
    said = fails(client, clock)
    assert "names no tables of metrics" in said
    assert "databricks data-quality delete-monitor table " in said
    assert "is broken: No compute: https://host ***" in caplog.text
    quality.status, quality.message = "ACTIVE", ""
    assert refreshed(client, clock) == METRICS
    (_, changed) = sent(host, CHANGES)
    assert set(changed.query["update_mask"].split(",")) == {
        f"data_profiling_config.{field}"
        for field in ("baseline_table_name", "slicing_exprs", "inference_log")
    }


def test_a_monitor_that_was_made_by_half(
    quality: DataQuality, client: WorkspaceClient, clock: Clock
) -> None:
    quality.half = True
    said = fails(client, clock)
    assert "was refreshed, but names no tables of metrics" in said
    assert "monitoring.computed_by: project" in said


def test_somebody_elses_monitor_of_another_kind_is_left_alone(
    host: Host, client: WorkspaceClient, clock: Clock
) -> None:
    table = host.catalog.find("tables", LOG)["table_id"]
    schema = host.catalog.find("schemas", SCHEMA)["schema_id"]
    config = DataProfilingConfig(schema, snapshot=SnapshotConfig())
    theirs = Monitor("table", table, data_profiling_config=config)
    # The SDK leaves an empty object out.
    theirs_sent = theirs.as_dict()
    theirs_sent["data_profiling_config"]["snapshot"] = {}
    client.api_client.do("POST", "/api/data-quality/v1/monitors", body=theirs_sent)
    assert "not for an inference log. Delete it" in fails(client, clock)
    assert len(sent(host, CHANGES)) == 1


@pytest.mark.parametrize(
    ("end", "said"), [("FAILED", "failed: Division by zero."), ("CANCELED", "was cancelled")]
)
def test_a_refresh_that_fails(
    quality: DataQuality,
    client: WorkspaceClient,
    clock: Clock,
    end: str,
    said: str,
) -> None:
    refreshed(client, clock)
    quality.end, quality.message = end, "Division by zero."
    told = fails(client, clock)
    assert f"Refresh 3 of the managed monitor of '{LOG}' {said}" in told
    assert "monitoring.computed_by: project" in told
    quality.end = "SUCCESS"
    assert refreshed(client, clock) == METRICS


def test_a_refresh_of_somebody_else_is_followed_by_one(
    host: Host, quality: DataQuality, client: WorkspaceClient, clock: Clock
) -> None:
    refreshed(client, clock)
    quality.polls = 4
    table = host.catalog.find("tables", LOG)["table_id"]
    theirs = quality.begin_refresh(table, "SCHEDULE")
    refreshed(client, clock)
    assert theirs["state"] == "MONITOR_REFRESH_STATE_SUCCESS"
    assert len(quality.refreshes[table]) == 4


def test_one_that_begins_in_between(host: Host, client: WorkspaceClient, clock: Clock) -> None:
    refreshed(client, clock)
    conflict = ApiError(409, "RESOURCE_CONFLICT", "A refresh is under way.").reply
    host.workspace.fail(conflict, REFRESHES)
    assert "Another client changes or refreshes it" in fails(client, clock)
    assert refreshed(client, clock) == METRICS


@pytest.mark.parametrize(
    ("endless", "said"),
    [("pending", "A change of the managed"), ("polls", "started by another client, has not ended")],
)
def test_nothing_is_waited_for_without_end(
    quality: DataQuality, client: WorkspaceClient, clock: Clock, endless: str, said: str
) -> None:
    setattr(quality, endless, 10**6)
    started = clock.now
    told = fails(client, clock, options={"timeout_minutes": 30})
    assert said in told
    assert "has not ended after 30 minutes" in told
    assert 1800 <= clock.now - started < 1900


def test_a_refresh_without_end(quality: DataQuality, client: WorkspaceClient, clock: Clock) -> None:
    refreshed(client, clock)
    quality.polls = 10**6
    told = fails(client, clock, options={"timeout_minutes": 0.5})
    assert f"Refresh 3 of the managed monitor of '{LOG}' has not ended after 0.5 minutes" in told
    assert "It continues in the workspace" in told


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
def test_a_refusal_is_told_with_its_remedy(
    host: Host, client: WorkspaceClient, clock: Clock, path: str, refusal: tuple[Reply, str]
) -> None:
    reply, remedy = refusal
    host.workspace.fail(reply, path)
    said = fails(client, clock)
    assert reply.body["message"] in said
    assert remedy in said
    assert refreshed(client, clock) == METRICS


def test_a_busy_workspace_is_asked_again(host: Host, client: WorkspaceClient, clock: Clock) -> None:
    for path in ("GET .*/tables/", "POST .*/monitors$", REFRESHES, "GET .*/refreshes/"):
        host.workspace.fail(faults.BUSY, path, times=3)
    assert refreshed(client, clock) == METRICS


@pytest.mark.parametrize("missing", [LOG, BASELINE])
def test_a_table_that_is_not_there(
    host: Host, client: WorkspaceClient, clock: Clock, missing: str
) -> None:
    del host.catalog.things["tables"][missing]
    with pytest.raises(ProjectError, match=rf"'{missing}' could not be looked up[^§]*--pipelines"):
        refreshed(client, clock)
    assert sent(host, CHANGES) == []


def test_columns_that_the_table_has_not(host: Host, client: WorkspaceClient, clock: Clock) -> None:
    host.catalog.find("tables", LOG)["columns"].pop(2)
    said = fails(client, clock)
    assert "['alive'] are not in" in said
    assert "Fix monitoring.granularities" in said


def test_windows_that_it_does_not_have(host: Host, client: WorkspaceClient, clock: Clock) -> None:
    with pytest.raises(ProjectError, match=r"monitoring\.granularities: .* 2 hours"):
        refreshed(client, clock, granularities=["1 day", "2 hours"])
    assert sent(host, CHANGES) == []


def test_progress_is_told(
    client: WorkspaceClient, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "marvel_kedro")
    refreshed(client, clock)
    refreshed(client, clock, slices=["gender"])
    assert f"The managed monitor of '{LOG}' is new." in caplog.messages
    assert any("slicing_exprs: ['gender', \"universe" in line for line in caplog.messages)
    assert f"The managed monitor of '{LOG}' is being refreshed." in caplog.messages
