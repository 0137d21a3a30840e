"""Unity Catalog: catalogs, schemas, volumes, tables, and grants on them.

As databricks-sdk 0.156 calls it; not verified against a real workspace. Nothing is inherited, and
no grant is enforced.
"""

import uuid
from typing import Any

from support.workspace.server import ApiError, Request, Route

_ROOT = "/api/2.1/unity-catalog"
_KINDS = {"catalogs": 1, "schemas": 2, "volumes": 3, "tables": 3}
"""The kinds by how many names make a full one."""


class UnityCatalog:
    """Objects by kind and full name."""

    def __init__(self, *schemas: str) -> None:
        self.things: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in _KINDS}
        self.grants: dict[tuple[str, str], dict[str, set[str]]] = {}
        for schema in schemas:
            self.put("catalogs", schema.partition(".")[0])
            self.put("schemas", schema)

    def put(self, kind: str, full_name: str, **more: Any) -> None:
        """Make a catalog, a schema, a volume or a table."""
        catalog, *rest = full_name.split(".")
        self.things[kind][full_name] = {
            "name": full_name.rpartition(".")[2],
            "full_name": full_name,
            f"{kind.removesuffix('s')}_id": str(uuid.uuid5(uuid.NAMESPACE_OID, full_name)),
            **({"catalog_name": catalog} if rest else {}),
            **({"schema_name": rest[0]} if len(rest) > 1 else {}),
            **more,
        }

    def routes(self) -> list[Route]:
        one = f"{_ROOT}/{{kind}}/{{full_name}}"
        grants = f"{_ROOT}/permissions/{{kind}}/{{full_name}}"
        return [
            ("GET", grants, self.get_grants),
            ("PATCH", grants, self.change_grants),
            ("GET", f"{_ROOT}/{{kind}}", self.list),
            ("POST", f"{_ROOT}/{{kind}}", self.create),
            ("GET", one, self.get),
        ]

    def list(self, request: Request) -> dict[str, Any]:
        kind = self._kind(request)
        found = [
            thing
            for thing in self.things[kind].values()
            if all(
                thing.get(name) == request.query.get(name, thing.get(name))
                for name in ("catalog_name", "schema_name")
            )
        ]
        return {kind: found}

    def create(self, request: Request) -> dict[str, Any]:
        kind, sent = self._kind(request), request.fields
        names = [sent.get("catalog_name"), sent.get("schema_name"), sent["name"]]
        full_name = ".".join(name for name in names if name)
        if full_name in self.things[kind]:
            raise ApiError(409, "ALREADY_EXISTS", f"'{full_name}' already exists")
        self.put(kind, full_name, **sent)
        return self.things[kind][full_name]

    def get(self, request: Request) -> dict[str, Any]:
        return self.find(self._kind(request), request.names["full_name"])

    def find(self, kind: str, full_name: str) -> dict[str, Any]:
        """Look up one; as a workspace says it if there is none."""
        try:
            return self.things[kind][full_name]
        except KeyError:
            name = kind.removesuffix("s").capitalize()
            raise ApiError(
                404, f"{name.upper()}_DOES_NOT_EXIST", f"{name} '{full_name}' does not exist."
            ) from None

    def get_grants(self, request: Request) -> dict[str, Any]:
        grants = self._grants(request)
        principal = request.query.get("principal")
        return {
            "privilege_assignments": [
                {"principal": who, "privileges": sorted(what)}
                for who, what in grants.items()
                if what and principal in {None, who}
            ]
        }

    def change_grants(self, request: Request) -> dict[str, Any]:
        grants = self._grants(request)
        for change in request.fields.get("changes", []):
            held = grants.setdefault(change["principal"], set())
            held |= set(change.get("add", []))
            held -= set(change.get("remove", []))
        return self.get_grants(request)

    def _grants(self, request: Request) -> dict[str, set[str]]:
        kind, full_name = request.names["kind"].lower(), request.names["full_name"]
        if f"{kind}s" in _KINDS:
            self.find(f"{kind}s", full_name)
        return self.grants.setdefault((kind, full_name), {})

    def _kind(self, request: Request) -> str:
        kind = request.names["kind"]
        if kind not in _KINDS:
            raise ApiError(404, "ENDPOINT_NOT_FOUND", f"No API found for '{request.path}'")
        return kind
