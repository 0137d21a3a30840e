"""Resolve the bundle's YAML files for a target, offline, as a deployment would.

Only the features that this bundle uses are supported; others are rejected. Written from the public
documentation; no deployment has confirmed it.
"""

import copy
import posixpath
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from support.project import ROOT

CLASSIC = "resources/training_job_classic.yml"
USER = {"userName": "jane.doe@example.com", "short_name": "jane_doe"}
GIT = {"commit": "0123456789abcdef0123456789abcdef01234567", "branch": "main"}
VARIABLES = {
    "service_principal": "00000000-0000-0000-0000-000000000000",
    "notification_email": "team@example.com",
    "node_type_id": "some-node-type",
}
"""Values of variables for a deployment to acceptance or production."""

_LEVELS = {
    "jobs": {"CAN_MANAGE": "CAN_MANAGE", "CAN_RUN": "CAN_MANAGE_RUN", "CAN_VIEW": "CAN_VIEW"},
    "experiments": {"CAN_MANAGE": "CAN_MANAGE", "CAN_VIEW": "CAN_READ"},
}
_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_KNOWN = {
    "": "artifacts bundle default mode permissions presets resources run_as variables workspace",
    "bundle": "name",
    "presets": "tags trigger_pause_status",
    "workspace": "root_path",
    "artifacts.wheel": "build dynamic_version path type",
}
_OF_VARIABLES = {"description", "default"}


class BundleError(Exception):
    """Error in the bundle; the message names file and key."""


def load(
    target: str,
    *,
    variables: dict[str, str] | None = None,
    also: tuple[str, ...] = (),
    root: Path = ROOT,
) -> dict[str, Any]:
    """Merge the files, apply the target, its mode and presets, resolve every reference.

    Args:
        target: One of the bundle's targets.
        variables: Values for variables, as from BUNDLE_VAR_<name>.
        also: Files to include beside those that databricks.yml lists.
        root: Folder of databricks.yml.
    """
    bundle = _Bundle()
    main = _read(root / "databricks.yml")
    for name in ("databricks.yml", *main.pop("include", ()), *also):
        content = main if name == "databricks.yml" else _read(root / name)
        targets = content.pop("targets", {})
        if content is main and target not in targets:
            raise BundleError(f"databricks.yml: targets.{target}: no such target")
        bundle.merge(content, name)
        bundle.overrides += [(targets.get(target) or {}, name)]
    for override, name in bundle.overrides:
        given = override.pop("variables", {})
        bundle.merge(override, name)
        for key, value in given.items():
            bundle.set_variable(key, value, f"{name}: targets.{target}.variables.{key}")
    for key, value in (variables or {}).items():
        if key in bundle.config.get("variables", {}):
            bundle.set_variable(key, value, key)
    bundle.config["bundle"] |= {"target": target, "git": GIT}
    bundle.config.setdefault("workspace", {})["current_user"] = USER
    _apply_mode(bundle.config)
    return bundle.resolved()


def job_id(key: str) -> int:
    """Return an id for a job; the real one exists only after a deployment."""
    return zlib.crc32(key.encode())


def walk(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every leaf with its key, such as `tasks[0].task_key`."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from walk(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from walk(inner, f"{key}[{number}]")
    else:
        yield key, value


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BundleError(f"{path.name}: is included and not there")
    content: dict[str, Any] = copy.deepcopy(yaml.safe_load(path.read_text()))
    return content


class _Bundle:
    """Configuration with the file of each key."""

    def __init__(self) -> None:
        self.config: dict[str, Any] = {}
        self.overrides: list[tuple[dict[str, Any], str]] = []
        self._files: dict[str, str] = {}

    def merge(self, new: dict[str, Any], file: str) -> None:
        self._merge(self.config, new, file, "")

    def _merge(self, into: dict[str, Any], new: dict[str, Any], file: str, key: str) -> None:
        known = set(_KNOWN.get(key, "").split())
        if key.startswith("variables."):
            known = _OF_VARIABLES
        for name, value in new.items():
            inner = f"{key}.{name}" if key else name
            if known and name not in known:
                raise BundleError(f"{file}: {inner}: no such setting")
            if isinstance(value, dict) and isinstance(into.get(name, {}), dict):
                self._merge(into.setdefault(name, {}), value, file, inner)
                continue
            if isinstance(value, list) and name in into:
                raise BundleError(f"{file}: {inner}: a list in two places, which one is meant?")
            # Anchors would make one object of two places.
            into[name] = copy.deepcopy(value)
            self._files |= {leaf: file for leaf, _ in walk(value, inner)}

    def set_variable(self, name: str, value: Any, where: str) -> None:
        if name not in self.config["variables"]:
            raise BundleError(f"{where}: no such variable")
        self.config["variables"][name]["value"] = value

    def resolved(self) -> dict[str, Any]:
        for name in self.config.get("variables", {}):
            self._look_up(f"var.{name}", f"variables.{name}.description", ())
        resolved: dict[str, Any] = self._resolve(self.config, "", ())
        return resolved

    def _resolve(self, value: Any, key: str, seen: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {
                name: self._resolve(inner, f"{key}.{name}" if key else name, seen)
                for name, inner in value.items()
            }
        if isinstance(value, list):
            return [self._resolve(inner, f"{key}[{i}]", seen) for i, inner in enumerate(value)]
        if not isinstance(value, str):
            return value
        if whole := _REFERENCE.fullmatch(value):
            return self._look_up(whole[1], key, seen)
        return _REFERENCE.sub(lambda found: str(self._look_up(found[1], key, seen)), value)

    def _look_up(self, reference: str, key: str, seen: tuple[str, ...]) -> Any:
        where = f"{self._files.get(key, 'databricks.yml')}: {key}: ${{{reference}}}"
        if reference in seen:
            raise BundleError(f"{where}: refers to itself")
        root, _, rest = reference.partition(".")
        if root == "var":
            variable = self.config.get("variables", {}).get(rest)
            if variable is None:
                raise BundleError(f"{where}: no such variable")
            if "value" not in variable and "default" not in variable:
                raise BundleError(f"{where}: the variable has no value")
            found = variable.get("value", variable.get("default"))
        elif (id_of := re.fullmatch(r"resources\.jobs\.(\w+)\.id", reference)) and (
            id_of[1] in self.config["resources"].get("jobs", {})
        ):
            return job_id(id_of[1])
        elif root in ("bundle", "workspace", "resources"):
            found = self.config
            for name in reference.split("."):
                if not isinstance(found, dict) or name not in found:
                    raise BundleError(f"{where}: there is no {name}")
                found = found[name]
        else:
            raise BundleError(f"{where}: not a reference that is known here")
        return self._resolve(found, key, (*seen, reference))


def _apply_mode(config: dict[str, Any]) -> None:
    """What mode, presets, `run_as` and `permissions` do to resources."""
    resources, presets = config["resources"], config.get("presets", {})
    tags, paused = dict(presets.get("tags", {})), presets.get("trigger_pause_status")
    if config.get("mode") == "development":
        _make_personal(resources)
        tags, paused = tags | {"dev": USER["short_name"]}, "PAUSED"
    elif not (config.get("run_as") or config.get("workspace", {}).get("root_path")):
        raise BundleError("databricks.yml: production wants run_as or workspace.root_path")
    for job in resources.get("jobs", {}).values():
        job["tags"] = tags | job.get("tags", {})
        if paused and "schedule" in job:
            job["schedule"].setdefault("pause_status", paused)
        if "run_as" in config:
            job["run_as"] = copy.deepcopy(config["run_as"])
    for experiment in resources.get("experiments", {}).values():
        experiment["tags"] = [{"key": key, "value": value} for key, value in tags.items()]
    for permission in config.get("permissions", ()):
        _permit(resources, permission)


def _make_personal(resources: dict[str, Any]) -> None:
    """Put the user's name before those of resources, as development mode does."""
    user = USER["short_name"]
    for job in resources.get("jobs", {}).values():
        job["name"] = f"[dev {user}] {job['name']}"
    for experiment in resources.get("experiments", {}).values():
        folder, name = posixpath.split(experiment["name"])
        experiment["name"] = posixpath.join(folder, f"[dev {user}] {name}")
    for kind in ("schemas", "registered_models"):
        for resource in resources.get(kind, {}).values():
            resource["name"] = f"dev_{user}_{resource['name']}"


def _permit(resources: dict[str, Any], permission: dict[str, str]) -> None:
    """Give a permission of the bundle to each resource, in the words of its kind."""
    for kind, levels in _LEVELS.items():
        for resource in resources.get(kind, {}).values():
            level = levels.get(permission["level"])
            if level is None:
                raise BundleError(f"permissions: {permission['level']} means nothing to {kind}")
            resource.setdefault("permissions", []).append(permission | {"level": level})
