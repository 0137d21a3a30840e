"""A loaded model version, which scores with its own code and files, without MLflow."""

import hashlib
import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from marvel_kedro.model.portable.saved_code import import_saved_code
from marvel_kedro.serving.http.protocol import Kind, Record

Score = Callable[[list[Record]], list[tuple[str, float]]]

_FILES = Path("artifacts", "model")  # where model/packaging.py puts them


@dataclass(frozen=True)
class ServedModel:
    """A loaded version.

    Attributes:
        score: Maps records to prediction and probability, one pair per record.
        schema: Kind by input field; `required` are those that every record must have.
        is_own: Whether this project's `predictor.py` scores; the duration of others is unknown.
    """

    score: Score
    schema: dict[str, Kind]
    required: tuple[str, ...]
    is_own: bool


def import_lightgbm() -> None:
    """Import LightGBM without scikit-learn, which takes longer to import than all else.

    LightGBM imports scikit-learn, if installed, for classes that this project's models do not use.
    Other code can still import it.
    """
    if "lightgbm" in sys.modules or "sklearn" in sys.modules:
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment] # "cannot be imported"
    try:
        importlib.import_module("lightgbm")
    finally:
        del sys.modules["sklearn"]


def _unload_lightgbm() -> None:
    """Make the next import of LightGBM complete: other models may use its scikit-learn classes.

    Modules that have imported it keep what they have.
    """
    if "lightgbm" in sys.modules and not sys.modules["lightgbm"].compat.SKLEARN_INSTALLED:
        for name in [name for name in sys.modules if name.partition(".")[0] == "lightgbm"]:
            del sys.modules[name]


def check(folder: Path) -> bool:
    """Compare files with the digest taken when the model was fitted; return whether it has one.

    Models of other origin have no digest, so only loading verifies them.

    Raises:
        ValueError: A file has changed or is missing.
    """
    digest = (_read_mlmodel(folder).get("metadata") or {}).get("model_digest")
    if digest is None:
        return False
    # Files only: MLflow leaves a folder of compiled code beside them.
    files = sorted(path for path in (folder / _FILES).glob("*") if path.is_file())
    parts = [part for path in files for part in (path.name.encode(), path.read_bytes())]
    if hashlib.sha256(b"\0".join(parts)).hexdigest() != digest:
        raise ValueError("its files are not those that were registered")
    return True


def load(folder: Path) -> ServedModel:
    """Load a version from the files of an MLflow model.

    If this project has fitted it, its own `predictor.py` scores records without MLflow and pandas;
    any other model is scored by `mlflow.pyfunc`.
    """
    import_lightgbm()
    inputs = json.loads(_read_mlmodel(folder)["signature"]["inputs"])
    schema: dict[str, Kind] = {
        field["name"]: "string" if field["type"] == "string" else "double" for field in inputs
    }
    code = import_saved_code(folder / _FILES)
    model: Any = code.CharacterModel.load(folder / _FILES) if code else None
    is_own = hasattr(model, "score")
    loaded = ServedModel(
        score=model.score if is_own else _pyfunc_score(folder, schema),
        schema=schema,
        required=tuple(field["name"] for field in inputs if field.get("required", True)),
        is_own=is_own,
    )
    loaded.score([{}, {}])  # fails here if the model is broken, and fills its caches
    loaded.score([{}])
    return loaded


def _read_mlmodel(folder: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load((folder / "MLmodel").read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"its MLmodel is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError("its MLmodel is empty, or no mapping")  # noqa: TRY004 - of a file
    return content


def _pyfunc_score(folder: Path, schema: dict[str, Kind]) -> Score:
    import mlflow  # noqa: PLC0415 - only for models of other origin
    import pandas as pd  # noqa: PLC0415 - slow to import

    _unload_lightgbm()
    model = mlflow.pyfunc.load_model(str(folder))
    types = {name: "object" if kind == "string" else "float64" for name, kind in schema.items()}

    def score(records: list[Record]) -> list[tuple[str, float]]:
        columns = {name: [record.get(name) for record in records] for name in types}
        scored = model.predict(pd.DataFrame(columns).astype(types))
        return list(zip(scored["prediction"].tolist(), scored["probability"].tolist(), strict=True))

    return score
