"""A request that a model answers: its own example, else values by the types of its signature.

It reads the files of an MLflow model of any origin. Servers use it without MLflow.
"""

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

MLMODEL = "MLmodel"

_VALUES: dict[str, Any] = {
    "string": "text",
    "boolean": True,
    "integer": 1,
    "long": 1,
    "float": 1.0,
    "double": 1.0,
    "datetime": "2026-01-31T12:00:00",
}


class InputField(NamedTuple):
    """A column of a signature; the type is MLflow's name of it."""

    name: str
    type: str
    required: bool = False


def input_fields(described: Mapping[str, Any]) -> tuple[InputField, ...]:
    """Return the input columns of an MLmodel; none for tensors, and without a signature."""
    inputs = json.loads((described.get("signature") or {}).get("inputs") or "[]")
    if not all("name" in field and isinstance(field["type"], str) for field in inputs):
        return ()
    fields = (InputField(one["name"], one["type"], one.get("required", True)) for one in inputs)
    return () if any(one["type"] == "tensor" for one in inputs) else tuple(fields)


def values(fields: Iterable[InputField]) -> dict[str, Any]:
    """Make a record of the fields: a value of its type for each, null for nested types."""
    return {field.name: _VALUES.get(field.type) for field in fields}


def request_body(
    described: Mapping[str, Any], read: Callable[[str], str | bytes]
) -> dict[str, Any] | None:
    """Return the body of a request that the model answers, with one record if it has columns.

    Args:
        described: The MLmodel.
        read: Reads a file of the model by its path.

    Returns:
        None if the model has neither an example nor a signature of columns.
    """
    path = (described.get("saved_input_example_info") or {}).get("serving_input_path")
    if path:
        try:
            body = json.loads(read(path))
        except (OSError, ValueError):  # the example is lost, the model is not
            body = None
        if isinstance(body, dict):
            record = first_record(body)
            return {"dataframe_records": [record]} if record else body
    fields = input_fields(described)
    return {"dataframe_records": [values(fields)]} if fields else None


def of_version(name: str, version: str) -> dict[str, Any] | None:
    """Return `request_body` of a registered version; errors are those of the registry."""
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415 - slow to import

    with tempfile.TemporaryDirectory() as folder:

        def read(path: str) -> bytes:
            uri = f"models:/{name}/{version}/{path}"
            return Path(download_artifacts(uri, dst_path=folder)).read_bytes()

        return request_body(yaml.safe_load(read(MLMODEL)), read)


def first_record(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first record of a body with named columns; it is empty if there is none."""
    split, records = body.get("dataframe_split") or {}, body.get("dataframe_records") or [{}]
    names, data = split.get("columns") or [], split.get("data") or [[]]
    if names and all(isinstance(name, str) for name in names) and isinstance(data[0], list):
        return dict(zip(names, data[0], strict=False))
    return dict(records[0]) if isinstance(records[0], dict) else {}
