"""A version of the model, ready to answer: from its own code and files, without MLflow."""

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
_SEAL = ".seal.json"


@dataclass(frozen=True)
class ServedModel:
    """A loaded version.

    Attributes:
        score: From records to prediction and probability, one pair a record.
        schema: Kind by input field.
        required: Input fields that have to be there.
        is_own: Whether its own `predictor.py` scores; how long another one takes nobody knows.
    """

    score: Score
    schema: dict[str, Kind]
    required: tuple[str, ...]
    is_own: bool


def import_lightgbm() -> None:
    """Import LightGBM without scikit-learn, which takes longer to import than all else.

    LightGBM imports it where it finds it, for classes that this project's models do not need.
    Other code finds it as ever.
    """
    if "lightgbm" in sys.modules or "sklearn" in sys.modules:
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment] # "cannot be imported"
    try:
        importlib.import_module("lightgbm")
    finally:
        del sys.modules["sklearn"]


def _forget_lightgbm() -> None:
    """Have it imported anew, and whole: models of others may use its classes for scikit-learn.

    Who has imported it keeps what it has.
    """
    if "lightgbm" in sys.modules and not sys.modules["lightgbm"].compat.SKLEARN_INSTALLED:
        for name in [name for name in sys.modules if name.partition(".")[0] == "lightgbm"]:
            del sys.modules[name]


def check(folder: Path) -> bool:
    """Hold the files of a version against the digest that was taken when it was fitted.

    Returns:
        Whether there is a digest. What this project has not made has none: only loading will tell.

    Raises:
        ValueError: A file is not as it was, or not there.
    """
    wanted = (_description(folder).get("metadata") or {}).get("model_digest")
    if wanted is None:
        return False
    # MLflow leaves what Python compiled beside the code.
    files = sorted(path for path in (folder / _FILES).glob("*") if path.is_file())
    parts = [part for path in files for part in (path.name.encode(), path.read_bytes())]
    if hashlib.sha256(b"\0".join(parts)).hexdigest() != wanted:
        raise ValueError("its files are not those that were registered")
    return True


def seal(folder: Path) -> None:
    """Write down beside the files of a version what is in them, for `check_copy`."""
    digests = {name: _digest(folder / name) for name in names(folder)}
    (folder / _SEAL).write_text(json.dumps(digests), "utf-8")


def check_copy(folder: Path) -> None:
    """See whether a version that was fetched is still as it was then.

    A file that a disk has cut or emptied must not come to a library: LightGBM takes the process
    with it. What has no seal (another program, or an earlier one, has put it there) is held against
    its own digest.

    Raises:
        ValueError: It is not, or not there.
    """
    try:
        if not (folder / _SEAL).exists():
            check(folder)
            return
        sealed: dict[str, str] = json.loads((folder / _SEAL).read_text("utf-8"))
        changed = [name for name, digest in sealed.items() if _digest(folder / name) != digest]
    except (OSError, AttributeError, TypeError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"the copy on this disk is damaged ({said})") from error
    if changed:
        raise ValueError(f"the copy on this disk is damaged ({', '.join(changed)})")


def names(folder: Path) -> list[str]:
    """The files that stay as they are: what Python compiles is made anew as it likes."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    kept = (path for path in files if path.name != _SEAL and "__pycache__" not in path.parts)
    return sorted(map(str, kept))


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load(folder: Path) -> ServedModel:
    """Load a version.

    Args:
        folder: The files of an MLflow model.

    Returns:
        The model. One that this project has fitted is scored by its own `predictor.py`, without
        MLflow and pandas between it and the records; any other one by `mlflow.pyfunc`.
    """
    import_lightgbm()
    inputs = json.loads(_description(folder)["signature"]["inputs"])
    code = import_saved_code(folder / _FILES)
    model: Any = code.CharacterModel.load(folder / _FILES) if code else None
    is_own = hasattr(model, "score")
    score: Score = model.score if is_own else _through_mlflow(folder, inputs)
    loaded = ServedModel(
        score=score,
        is_own=is_own,
        schema={field["name"]: _kind(field) for field in inputs},
        required=tuple(field["name"] for field in inputs if field.get("required", True)),
    )
    loaded.score([{}, {}])  # what is broken shows here, and what is made on first use is made now
    loaded.score([{}])
    return loaded


def _kind(field: dict[str, Any]) -> Kind:
    return "string" if field["type"] == "string" else "double"


def _description(folder: Path) -> dict[str, Any]:
    try:
        described = yaml.safe_load((folder / "MLmodel").read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"its MLmodel is no YAML: {error}") from error
    if not isinstance(described, dict):
        raise ValueError("its MLmodel is empty, or no mapping")  # noqa: TRY004 - of a file
    return described


def _through_mlflow(folder: Path, inputs: list[dict[str, Any]]) -> Score:
    import mlflow  # noqa: PLC0415 - only for models of others
    import pandas as pd  # noqa: PLC0415

    _forget_lightgbm()
    model = mlflow.pyfunc.load_model(str(folder))
    types = {field["name"]: "object" if _kind(field) == "string" else "float64" for field in inputs}

    def score(records: list[Record]) -> list[tuple[str, float]]:
        frame = pd.DataFrame(
            {name: [record.get(name) for record in records] for name in types}
        ).astype(types)
        scored = model.predict(frame)
        return list(zip(scored["prediction"].tolist(), scored["probability"].tolist(), strict=True))

    return score
