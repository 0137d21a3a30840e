"""The model registry of Unity Catalog, as MLflow 3.17's `databricks-uc` client calls it.

Not verified against a real workspace. Files of a version go through the Files API: the workspace
says that MLflow's repository on the SDK is enabled, so that no cloud storage has to be faked.
Error codes are those of MLflow's source and issue tracker (17590: a workspace says NOT_FOUND of an
alias that is not there).
"""

import json
import re
import time
from typing import Any

from support.workspace.catalog import UnityCatalog
from support.workspace.files import Files
from support.workspace.server import ApiError, Request, Route

EXAMPLE = {"dataframe_split": {"columns": ["gender"], "data": [["Female"]]}}
"""The body of a request that is saved with a version."""

_ROOT = "/api/2.0/mlflow/unity-catalog"
_LEVELS = 3


class ModelRegistry:
    """Models by full name, each with its versions and aliases.

    Attributes:
        alias_absent: The code for an alias that is not there; versions of a workspace differ.
        page_size: The most that one page of a search has.
    """

    def __init__(self, catalog: UnityCatalog, files: Files) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, dict[str, Any]]] = {}
        self.alias_absent = "NOT_FOUND"
        self.page_size = 2
        self._catalog = catalog
        self._files = files

    def put(
        self, name: str, number: str, *aliases: str, example: dict[str, Any] | None = EXAMPLE
    ) -> None:
        """Make a version, and the model if there is none, with no files but its example."""
        info = {"serving_input_path": "example.json"} if example else None
        folder = f"Models/{name.replace('.', '/')}/{number}"
        described = json.dumps({"saved_input_example_info": info})
        self._files.contents[f"{folder}/MLmodel"] = described.encode()
        self._files.contents[f"{folder}/example.json"] = json.dumps(example).encode()
        self.models.setdefault(name, _made({"name": name, "tags": [], "aliases": []}))
        version = _made({"name": name, "version": number, "tags": [], "status": "READY"})
        self.versions.setdefault(name, {})[number] = version
        for alias in aliases:
            self.point(name, alias, number)

    def point(self, name: str, alias: str, number: str) -> None:
        """Move an alias."""
        held = [one for one in self.models[name]["aliases"] if one["alias"] != alias]
        self.models[name]["aliases"] = [*held, {"alias": alias, "version": number}]

    def has(self, name: str, number: str) -> bool:
        """Tell whether there is such a version."""
        return number in self.versions.get(name, {})

    def routes(self) -> list[Route]:
        models, versions = f"{_ROOT}/registered-models", f"{_ROOT}/model-versions"
        enabled = "is-databricks-sdk-models-artifact-repository-enabled"
        return [
            ("POST", f"{models}/create", self.create_model),
            ("GET", f"{models}/get", lambda sent: {"registered_model": self._model(sent)}),
            ("GET", f"{models}/search", self.search_models),
            ("DELETE", f"{models}/delete", self.delete_model),
            ("POST", f"{models}/set-tag", lambda sent: _set_tag(self._model(sent), sent)),
            ("DELETE", f"{models}/delete-tag", lambda sent: _drop_tag(self._model(sent), sent)),
            ("POST", f"{models}/alias", self.set_alias),
            ("DELETE", f"{models}/alias", self.delete_alias),
            ("GET", f"{models}/alias", self.get_by_alias),
            ("GET", f"{models}:{enabled}", lambda _: {enabled.replace("-", "_"): True}),
            ("POST", f"{versions}/create", self.create_version),
            ("POST", f"{versions}/finalize", self.finalize),
            ("POST", f"{versions}/emit-lineage", lambda _: {}),
            ("GET", f"{versions}/get", lambda sent: {"model_version": self._version(sent)}),
            ("GET", f"{versions}/search", self.search_versions),
            ("GET", f"{versions}/get-download-uri", self.get_download_uri),
            ("DELETE", f"{versions}/delete", self.delete_version),
            ("POST", f"{versions}/set-tag", lambda sent: _set_tag(self._version(sent), sent)),
            ("DELETE", f"{versions}/delete-tag", lambda sent: _drop_tag(self._version(sent), sent)),
        ]

    def create_model(self, request: Request) -> dict[str, Any]:
        name = request.fields["name"]
        if len(name.split(".")) != _LEVELS:
            message = f"Model name '{name}' is not valid: specify all three levels of it."
            raise ApiError(400, "INVALID_PARAMETER_VALUE", message)
        self._catalog.find("schemas", name.rpartition(".")[0])
        if name in self.models:
            raise ApiError(409, "RESOURCE_ALREADY_EXISTS", f"Model '{name}' already exists.")
        self.models[name] = _made({"tags": [], "aliases": [], **request.fields})
        self.versions[name] = {}
        return {"registered_model": self.models[name]}

    def search_models(self, _: Request) -> dict[str, Any]:
        return {"registered_models": [_bare(model) for model in self.models.values()]}

    def delete_model(self, request: Request) -> None:
        name = self._model(request)["name"]
        del self.models[name], self.versions[name]

    def create_version(self, request: Request) -> dict[str, Any]:
        name = self._model(request)["name"]
        number = str(max(map(int, self.versions[name]), default=0) + 1)
        self.versions[name][number] = _made(
            {
                "tags": [],
                **request.fields,
                "version": number,
                "status": "PENDING_REGISTRATION",
                "storage_location": f"s3://metastore/{name}/{number}",
            }
        )
        return {"model_version": self._find(name, number)}

    def finalize(self, request: Request) -> dict[str, Any]:
        version = self._version(request)
        self.versions[version["name"]][version["version"]]["status"] = "READY"
        return {"model_version": version | {"status": "READY"}}

    def delete_version(self, request: Request) -> None:
        version = self._version(request)
        del self.versions[version["name"]][version["version"]]

    def search_versions(self, request: Request) -> dict[str, Any]:
        found = re.fullmatch(r"\s*name\s*=\s*'([^']+)'\s*", request.fields.get("filter", ""))
        if not found:
            message = "Only the filter name = '<model>' is supported."
            raise ApiError(400, "INVALID_PARAMETER_VALUE", message)
        if found[1] not in self.models:
            raise _absent(found[1])
        versions = [_bare(version) for version in reversed(self.versions[found[1]].values())]
        start = int(request.fields.get("page_token") or 0)
        end = start + self.page_size
        more = {"next_page_token": str(end)} if end < len(versions) else {}
        return {"model_versions": versions[start:end], **more}

    def get_download_uri(self, request: Request) -> dict[str, Any]:
        return {"artifact_uri": self._version(request)["storage_location"]}

    def set_alias(self, request: Request) -> None:
        version = self._version(request)
        self.point(version["name"], request.fields["alias"], version["version"])

    def delete_alias(self, request: Request) -> None:
        model, alias = self._model(request), request.fields["alias"]
        model["aliases"] = [held for held in model["aliases"] if held["alias"] != alias]

    def get_by_alias(self, request: Request) -> dict[str, Any]:
        model, alias = self._model(request), request.fields["alias"]
        for held in model["aliases"]:
            if held["alias"] == alias:
                return {"model_version": self._find(model["name"], held["version"])}
        raise ApiError(404, self.alias_absent, f"Alias '{alias}' does not exist.")

    def _model(self, request: Request) -> dict[str, Any]:
        name = request.fields["name"]
        if name not in self.models:
            raise _absent(name)
        return self.models[name]

    def _version(self, request: Request) -> dict[str, Any]:
        return self._find(self._model(request)["name"], str(request.fields["version"]))

    def _find(self, name: str, number: str) -> dict[str, Any]:
        if number not in self.versions[name]:
            raise _absent(f"{name} version {number}")
        aliases = [held for held in self.models[name]["aliases"] if held["version"] == number]
        return self.versions[name][number] | {"aliases": aliases}


def _absent(name: str) -> ApiError:
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"Routine or Model '{name}' does not exist.")


def _made(thing: dict[str, Any]) -> dict[str, Any]:
    now = int(time.time() * 1000)
    sent = {
        key: value for key, value in thing.items() if not key.endswith(("_deps", "_dependencies"))
    }
    return sent | {"creation_timestamp": now, "last_updated_timestamp": now}


def _bare(thing: dict[str, Any]) -> dict[str, Any]:
    """A search gives neither tags nor aliases."""
    return {key: value for key, value in thing.items() if key not in {"tags", "aliases"}}


def _set_tag(thing: dict[str, Any], request: Request) -> None:
    _drop_tag(thing, request)
    thing["tags"].append({"key": request.fields["key"], "value": request.fields["value"]})


def _drop_tag(thing: dict[str, Any], request: Request) -> None:
    thing["tags"][:] = [tag for tag in thing["tags"] if tag["key"] != request.fields["key"]]
