"""Managed monitors. As databricks-sdk 0.156 calls them; not verified against a real workspace.

A monitor that was made or changed is pending for `pending` looks at it; then the platform begins a
refresh of its own if it is new. A refresh runs for `polls` looks at it. How a refusal of a second
refresh looks, and that there is one, is a guess.
"""

import uuid
from typing import Any

from support.workspace.catalog import UnityCatalog
from support.workspace.identity import USER
from support.workspace.server import ApiError, Request, Route

_ROOT = "/api/data-quality/v1/monitors"
_CONFIG = "data_profiling_config"
_STATUS, _STATE = "DATA_PROFILING_STATUS_", "MONITOR_REFRESH_STATE_"
_ENDS = {f"{_STATE}{name}" for name in ("SUCCESS", "FAILED", "CANCELED")}
Monitor = dict[str, Any]


class DataQuality:
    """Monitors by the id of their table.

    Attributes:
        pending: How many looks at a monitor a change takes.
        polls: How many looks at a refresh it takes.
        end: How refreshes end.
        message: Message of refreshes that end otherwise.
        status: What a monitor is after a change.
        half: Whether a monitor is left without tables of metrics.
    """

    def __init__(self, catalog: UnityCatalog) -> None:
        self.monitors: dict[str, Monitor] = {}
        self.refreshes: dict[str, list[dict[str, Any]]] = {}
        self.pending = 1
        self.polls = 1
        self.end = "SUCCESS"
        self.message = ""
        self.status = "ACTIVE"
        self.half = False
        self._catalog = catalog
        self._left: dict[str, int] = {}

    def routes(self) -> list[Route]:
        one = f"{_ROOT}/{{kind}}/{{id}}"
        return [
            ("POST", _ROOT, self.create),
            ("GET", one, self.get),
            ("PATCH", one, self.update),
            ("DELETE", one, self.delete),
            ("GET", f"{one}/refreshes", self.list_refreshes),
            ("POST", f"{one}/refreshes", self.create_refresh),
            ("GET", f"{one}/refreshes/{{number}}", self.get_refresh),
        ]

    def create(self, request: Request) -> Monitor:
        sent = request.fields
        table = self._table(sent["object_type"], sent["object_id"])
        if sent["object_id"] in self.monitors:
            message = f"Table '{table['full_name']}' has a monitor already."
            raise ApiError(409, "ALREADY_EXISTS", message)
        self._check(sent[_CONFIG], table)
        home = f"/Workspace/Users/{USER}"
        sent[_CONFIG] = {"assets_dir": home, "monitor_version": 0} | sent[_CONFIG]
        self.monitors[sent["object_id"]] = sent
        self.refreshes[sent["object_id"]] = []
        self._change(sent)
        return sent

    def get(self, request: Request) -> Monitor:
        monitor = self._find(request)
        self._look(monitor)
        if monitor[_CONFIG]["status"] == f"{_STATUS}DELETE_PENDING" and not self._left_of(monitor):
            del self.monitors[monitor["object_id"]]
            return self._find(request)
        return monitor

    def update(self, request: Request) -> Monitor:
        """Set the fields of the mask; one that was not sent is cleared."""
        monitor = self._find(request)
        sent = request.fields[_CONFIG]
        changed = dict(monitor[_CONFIG])
        for path in request.query["update_mask"].split(","):
            root, _, field = path.partition(".")
            if root != _CONFIG or not field:
                raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Unknown field {path}.")
            changed.pop(field, None)
            changed |= {field: sent[field]} if field in sent else {}
        self._check(changed, self._table("table", monitor["object_id"]))
        monitor[_CONFIG] = changed
        self._change(monitor)
        return monitor

    def delete(self, request: Request) -> None:
        monitor = self._find(request)
        monitor[_CONFIG]["status"] = f"{_STATUS}DELETE_PENDING"
        self._left[monitor["object_id"]] = self.pending

    def list_refreshes(self, request: Request) -> dict[str, Any]:
        """A page of one, the newest first."""
        refreshes = self.refreshes[self._find(request)["object_id"]]
        for refresh in refreshes:
            self._run(refresh)
        first = int(request.query.get("page_token", 0))
        page: dict[str, Any] = {"refreshes": refreshes[::-1][first : first + 1]}
        return page | ({"next_page_token": str(first + 1)} if first + 1 < len(refreshes) else {})

    def create_refresh(self, request: Request) -> dict[str, Any]:
        monitor = self._find(request)
        if monitor[_CONFIG]["status"] == f"{_STATUS}PENDING":
            raise ApiError(400, "INVALID_STATE", "The monitor is pending.")
        if any(one["state"] not in _ENDS for one in self.refreshes[monitor["object_id"]]):
            raise ApiError(409, "RESOURCE_CONFLICT", "A refresh is under way.")
        return self.begin_refresh(monitor["object_id"], "MANUAL")

    def get_refresh(self, request: Request) -> dict[str, Any]:
        monitor = self._find(request)
        number = int(request.names["number"])
        refresh = self.refreshes[monitor["object_id"]][number - 1]
        self._run(refresh)
        return refresh

    def begin_refresh(self, table_id: str, trigger: str) -> dict[str, Any]:
        """Refresh a monitor."""
        refreshes = self.refreshes[table_id]
        refresh = {
            "object_type": "table",
            "object_id": table_id,
            "refresh_id": str(len(refreshes) + 1),  # how JSON has 64 bits
            "state": f"{_STATE}PENDING",
            "trigger": f"MONITOR_REFRESH_TRIGGER_{trigger}",
        }
        self._left[f"{table_id}/{refresh['refresh_id']}"] = self.polls
        refreshes.append(refresh)
        return refresh

    def config(self, table: str) -> dict[str, Any]:
        """Return the monitor of a table."""
        config: dict[str, Any] = self.monitors[self._catalog.find("tables", table)["table_id"]]
        return dict(config[_CONFIG])

    def _find(self, request: Request) -> Monitor:
        table = self._table(request.names["kind"], request.names["id"])
        if request.names["id"] not in self.monitors:
            message = f"Table '{table['full_name']}' has no monitor."
            raise ApiError(404, "NOT_FOUND", message)
        return self.monitors[request.names["id"]]

    def _table(self, kind: str, number: str) -> dict[str, Any]:
        try:
            uuid.UUID(number)
        except ValueError:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", "UUID string too large") from None
        for table in self._catalog.things["tables"].values():
            if kind == "table" and table["table_id"] == number:
                return table
        raise ApiError(404, "NOT_FOUND", f"There is no {kind} {number}.")

    def _check(self, config: dict[str, Any], table: dict[str, Any]) -> None:
        kinds = {"inference_log", "time_series", "snapshot"} & config.keys()
        schemas = {one["schema_id"] for one in self._catalog.things["schemas"].values()}
        columns = {column["name"] for column in table.get("columns", ())}
        log = config.get("inference_log", {})
        used = {value for key, value in log.items() if key.endswith("_column")}
        if len(kinds) != 1 or config["output_schema_id"] not in schemas:
            raise ApiError(
                400, "INVALID_PARAMETER_VALUE", f"Not one analysis, or no schema: {kinds}"
            )
        if missing := used - columns:
            message = f"Columns {sorted(missing)} are not in {table['full_name']}."
            raise ApiError(400, "INVALID_PARAMETER_VALUE", message)
        if baseline := config.get("baseline_table_name"):
            self._catalog.find("tables", baseline)

    def _change(self, monitor: Monitor) -> None:
        monitor[_CONFIG]["status"] = f"{_STATUS}PENDING"
        self._left[monitor["object_id"]] = self.pending

    def _left_of(self, thing: dict[str, Any]) -> int:
        key = thing["object_id"]
        key += f"/{thing['refresh_id']}" if "refresh_id" in thing else ""
        self._left[key] = max(self._left[key] - 1, 0)
        return self._left[key]

    def _look(self, monitor: Monitor) -> None:
        config = monitor[_CONFIG]
        if config["status"] != f"{_STATUS}PENDING" or self._left_of(monitor):
            return
        config["status"] = f"{_STATUS}{self.status}"
        config["latest_monitor_failure_message"] = self.message
        config["monitor_version"] += 1
        table = self._table("table", monitor["object_id"])["full_name"]
        if self.status == "ACTIVE" and not self.half:
            for kind in ("profile", "drift"):
                config[f"{kind}_metrics_table_name"] = f"{table}_{kind}_metrics"
        if self.status == "ACTIVE" and not self.refreshes[monitor["object_id"]]:
            self.begin_refresh(monitor["object_id"], "UNKNOWN")

    def _run(self, refresh: dict[str, Any]) -> None:
        if refresh["state"] in _ENDS:
            return
        over = not self._left_of(refresh)
        refresh["state"] = f"{_STATE}{self.end if over else 'RUNNING'}"
        if over and self.end != "SUCCESS":
            refresh["message"] = self.message
