"""Serving endpoints. As databricks-sdk 0.156 calls them; not verified against a real workspace.

An update is in progress for `polls` looks at the endpoint, then it has succeeded, or failed if a
served version is among `unhealthy`: what served before goes on serving then, as documented.
"""

from collections.abc import Callable
from typing import Any

from support.workspace.catalog import UnityCatalog
from support.workspace.server import ApiError, Reply, Request, Route

_ROOT = "/api/2.0/serving-endpoints"
_PERMISSIONS = "/api/2.0/permissions/serving-endpoints/{id}"
Endpoint = dict[str, Any]


def predictions(request: Request) -> list[dict[str, Any]]:
    """An answer as the model's: one row a record."""
    rows = request.fields.get("dataframe_records") or request.fields["inputs"]
    return [{"prediction": "Alive", "probability": 0.75} for _ in rows]


class Serving:
    """Endpoints by name.

    Attributes:
        polls: How many looks at an endpoint an update takes.
        unready: How many more until it is ready.
        unhealthy: Versions whose containers do not come up.
        answers: Refusals of smoke requests, by version.
        quota: How many endpoints there may be.
    """

    def __init__(
        self, catalog: UnityCatalog, known: Callable[[str, str], bool] = lambda *_: True
    ) -> None:
        self.endpoints: dict[str, Endpoint] = {}
        self.permissions: dict[str, dict[str, str]] = {}
        self.polls = 1
        self.unready = 0
        self.unhealthy: set[str] = set()
        self.answers: dict[str, Reply] = {}
        self.quota = 9
        self._catalog = catalog
        self._known = known
        self._left: dict[str, int] = {}

    def routes(self) -> list[Route]:
        one, ask = f"{_ROOT}/{{name}}", "/serving-endpoints/{name}"
        return [
            ("GET", _ROOT, lambda _: {"endpoints": list(self.endpoints.values())}),
            ("POST", _ROOT, self.create),
            ("GET", one, self.get),
            ("DELETE", one, self.delete),
            ("PUT", f"{one}/config", self.update_config),
            ("PUT", f"{one}/ai-gateway", self.put_ai_gateway),
            ("PATCH", f"{one}/tags", self.patch_tags),
            ("POST", f"{ask}/invocations", self.query),
            ("POST", f"{ask}/served-models/{{entity}}/invocations", self.query),
            ("GET", _PERMISSIONS, self.get_permissions),
            ("PATCH", _PERMISSIONS, self.add_permissions),
        ]

    def create(self, request: Request) -> Endpoint:
        sent = request.fields
        name = sent["name"]
        if name in self.endpoints:
            raise ApiError(409, "RESOURCE_ALREADY_EXISTS", f"Endpoint '{name}' already exists.")
        if len(self.endpoints) >= self.quota:
            raise ApiError(400, "BAD_REQUEST", "The quota of endpoints is used up.")
        config = self._checked(sent["config"])
        gateway = self._checked_gateway(sent.get("ai_gateway", {}), {})
        self.endpoints[name] = {
            "name": name,
            "id": f"id-{len(self.permissions) + 1}",
            "creator": "someone@example.org",
            "tags": sent.get("tags", []),
            "ai_gateway": gateway,
            "state": {"ready": "NOT_READY"},
        }
        self.permissions[self.endpoints[name]["id"]] = {}
        self._begin(self.endpoints[name], config)
        return self.endpoints[name]

    def get(self, request: Request) -> Endpoint:
        endpoint = self._find(request)
        self._tick(endpoint)
        return endpoint

    def delete(self, request: Request) -> None:
        del self.endpoints[self._find(request)["name"]]

    def update_config(self, request: Request) -> Endpoint:
        endpoint = self._find(request)
        if endpoint["state"]["config_update"] == "IN_PROGRESS":
            message = f"Endpoint '{endpoint['name']}' is being updated."
            raise ApiError(409, "RESOURCE_CONFLICT", message)
        self._begin(endpoint, self._checked(request.fields))
        return endpoint

    def put_ai_gateway(self, request: Request) -> dict[str, Any]:
        endpoint = self._find(request)
        endpoint["ai_gateway"] = self._checked_gateway(request.fields, endpoint["ai_gateway"])
        return dict(endpoint["ai_gateway"])

    def patch_tags(self, request: Request) -> dict[str, Any]:
        endpoint, sent = self._find(request), request.fields
        gone = {tag["key"] for tag in sent.get("add_tags", [])} | set(sent.get("delete_tags", []))
        kept = [tag for tag in endpoint["tags"] if tag["key"] not in gone]
        endpoint["tags"] = kept + sent.get("add_tags", [])
        return {"tags": endpoint["tags"]}

    def query(self, request: Request) -> Reply:
        endpoint = self._find(request)
        if endpoint["state"]["ready"] != "READY":
            raise ApiError(400, "BAD_REQUEST", f"Endpoint '{endpoint['name']}' is not ready.")
        routes = endpoint["config"]["traffic_config"]["routes"]
        first = next(route for route in routes if route["traffic_percentage"])
        name = request.names.get("entity", first["served_entity_name"])
        versions = self.served(endpoint["name"])
        if name not in versions:
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"No served entity '{name}'.")
        if refusal := self.answers.get(versions[name]):
            return refusal
        return Reply({"predictions": predictions(request)}, headers={"served-model-name": name})

    def get_permissions(self, request: Request) -> dict[str, Any]:
        held = self.permissions[request.names["id"]]
        return {
            "object_id": request.names["id"],
            "access_control_list": [
                {"group_name": group, "all_permissions": [{"permission_level": level}]}
                for group, level in held.items()
            ],
        }

    def add_permissions(self, request: Request) -> dict[str, Any]:
        for entry in request.fields["access_control_list"]:
            held = self.permissions[request.names["id"]]
            held[entry["group_name"]] = entry["permission_level"]
        return self.get_permissions(request)

    def served(self, name: str) -> dict[str, str]:
        """Return the version of each served entity."""
        entities = self.endpoints[name]["config"]["served_entities"]
        return {entity["name"]: entity["entity_version"] for entity in entities}

    def traffic(self, name: str) -> dict[str, int]:
        """Return the traffic shares of an endpoint."""
        routes = self.endpoints[name]["config"]["traffic_config"]["routes"]
        return {route["served_entity_name"]: route["traffic_percentage"] for route in routes}

    def _find(self, request: Request) -> Endpoint:
        name = request.names["name"]
        if name not in self.endpoints:
            message = f"Endpoint with name '{name}' does not exist."
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)
        return self.endpoints[name]

    def _checked(self, config: dict[str, Any]) -> dict[str, Any]:
        entities = config["served_entities"]
        for entity in entities:
            model, version = entity["entity_name"], entity["entity_version"]
            if not self._known(model, version):
                message = f"Model '{model}' version {version} does not exist."
                raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)
        routes = config.get("traffic_config", {}).get("routes", [])
        names = {entity["name"] for entity in entities}
        strangers = {route["served_entity_name"] for route in routes} - names
        if strangers or sum(route["traffic_percentage"] for route in routes) != 100:
            message = f"Traffic of {sorted(names)} does not add up: {routes}"
            raise ApiError(400, "INVALID_PARAMETER_VALUE", message)
        return {"served_entities": entities, "traffic_config": {"routes": routes}}

    def _checked_gateway(self, sent: dict[str, Any], there: dict[str, Any]) -> dict[str, Any]:
        table = sent.get("inference_table_config", {})
        before = there.get("inference_table_config", {})
        if table.get("enabled"):
            schema = f"{table['catalog_name']}.{table['schema_name']}"
            self._catalog.find("schemas", schema)
            if before.get("enabled") and before != table:
                message = "Disable the inference table first to change its names."
                raise ApiError(400, "INVALID_PARAMETER_VALUE", message)
        return sent

    def _begin(self, endpoint: Endpoint, config: dict[str, Any]) -> None:
        creating = {"deployment": "DEPLOYMENT_CREATING", "deployment_state_message": "Building .."}
        for entity in config["served_entities"]:
            entity["state"] = dict(creating)
        endpoint["pending_config"] = config
        endpoint["state"]["config_update"] = "IN_PROGRESS"
        self._left[endpoint["name"]] = self.polls

    def _tick(self, endpoint: Endpoint) -> None:
        self._left[endpoint["name"]] -= 1
        left = self._left[endpoint["name"]]
        if endpoint["state"]["config_update"] == "IN_PROGRESS" and left < 0:
            self._end(endpoint)
        if endpoint["state"]["config_update"] == "NOT_UPDATING":
            ready = left < -self.unready
            endpoint["state"]["ready"] = "READY" if ready else "NOT_READY"

    def _end(self, endpoint: Endpoint) -> None:
        failed = False
        for entity in endpoint["pending_config"]["served_entities"]:
            bad = entity["entity_version"] in self.unhealthy
            failed = failed or bad
            entity["state"] = {
                "deployment": "DEPLOYMENT_FAILED" if bad else "DEPLOYMENT_READY",
                "deployment_state_message": "The container exited with 1." if bad else "",
            }
        endpoint["state"]["config_update"] = "UPDATE_FAILED" if failed else "NOT_UPDATING"
        if not failed:
            endpoint["config"] = endpoint.pop("pending_config")
