"""A loaded model version, which scores with its own code and files, without MLflow."""

import hashlib
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from marvel_kedro.model.portable.saved_code import import_saved_code
from marvel_kedro.model.request_example import MLMODEL, InputField, input_fields, request_body
from marvel_kedro.serving.http.protocol import Kind, Record
from marvel_kedro.serving.models import foreign_model
from marvel_kedro.serving.models.foreign_model import Invoke

Score = Callable[[list[Record]], list[tuple[str, float]]]

_FILES = Path("artifacts", "model")  # where model/packaging.py puts them
_DESCRIPTION = "description.json"  # beside them: it explains the model, and its digest lacks it


@dataclass(frozen=True)
class Interface:
    """What clients send to a model and get from it, for the description of the API.

    Attributes:
        inputs: The columns of the signature.
        example: The body of a request that the model answers, if one is known.
        classes: The predictions that it makes, if they are known.
        is_own: Whether this project has made it, which decides the form of the answer.
    """

    inputs: tuple[InputField, ...]
    example: dict[str, Any] | None = None
    classes: tuple[str, ...] = ()
    is_own: bool = True


@dataclass(frozen=True)
class ServedModel:
    """A loaded version.

    Attributes:
        score: Maps records to prediction and probability, one pair per record.
        schema: Kind by input field; `required` are those that every record must have.
        invoke: Answers bodies in place of `score` if this project has not made the model.
        interface: What the description of the API has.
    """

    score: Score
    schema: dict[str, Kind]
    interface: Interface
    required: tuple[str, ...] = ()
    invoke: Invoke | None = None

    @property
    def is_own(self) -> bool:
        """Tell whether this project's `predictor.py` scores; the duration of others is unknown."""
        return self.invoke is None


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
    found = (path for path in (folder / _FILES).glob("*") if path.name != _DESCRIPTION)
    files = sorted(path for path in found if path.is_file())
    parts = [part for path in files for part in (path.name.encode(), path.read_bytes())]
    if hashlib.sha256(b"\0".join(parts)).hexdigest() != digest:
        raise ValueError("its files are not those that were registered")
    return True


def load(folder: Path) -> ServedModel:
    """Load a version from the files of an MLflow model.

    If this project has fitted it, its own `predictor.py` scores records without MLflow and pandas;
    any other model is served by MLflow's code.
    """
    import_lightgbm()
    described = _read_mlmodel(folder)
    code = import_saved_code(folder / _FILES)
    # Earlier versions of the project gave the class the name of their table.
    kind = getattr(code, "TabularModel", None) or getattr(code, "CharacterModel", None)
    model: Any = kind.load(folder / _FILES) if kind else None
    inputs = input_fields(described)
    example = request_body(described, lambda path: (folder / path).read_bytes())
    if not hasattr(model, "score"):
        _unload_lightgbm()
        saved = (described.get("saved_input_example_info") or {}).get("serving_input_path")
        invoke = foreign_model.load(folder, saved)
        interface = Interface(inputs, example, is_own=False)
        return ServedModel(_score_nothing, {}, interface, invoke=invoke)
    if not inputs:
        raise ValueError("its MLmodel has no signature with fields")
    loaded = ServedModel(
        score=model.score,
        schema={field.name: "string" if field.type == "string" else "double" for field in inputs},
        # Models of earlier releases have no classes.
        interface=Interface(inputs, example, tuple(getattr(model, "classes", ()))),
        required=tuple(field.name for field in inputs if field.required),
    )
    loaded.score([{}, {}])  # fails here if the model is broken, and fills its caches
    loaded.score([{}])
    return loaded


def _score_nothing(_: list[Record]) -> list[tuple[str, float]]:
    raise TypeError("a model that this project has not made takes bodies, not records")


def _read_mlmodel(folder: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load((folder / MLMODEL).read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"its MLmodel is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError("its MLmodel is empty, or no mapping")  # noqa: TRY004 - of a file
    return content
