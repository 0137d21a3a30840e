"""Score with `mlflow.pyfunc`: logged as code, so that loading a model unpickles nothing.

This file is copied into the MLflow model and imports nothing of the project.
"""

import importlib
import sys
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class CharacterPyfunc(PythonModel):
    """The MLflow model: takes raw records, returns `prediction` and `probability`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model with the code in its own folder."""
        folder = Path(context.artifacts["model"])
        self._model = _import_saved_code(folder).CharacterModel.load(folder)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002 - MLflow's signature
    ) -> pd.DataFrame:
        """Score raw records; `features.py` describes the values of a field.

        Raises:
            MlflowException: No record has a field of the signature. MLflow passes such records on
                as a frame without columns and rows, so their number is unknown.
        """
        if not len(model_input.columns):
            raise MlflowException(
                "No record has a field that the model knows: send at least one of "
                "name, universe, identity, gender, marital_status, teams, origin, height, weight.",
                error_code=INVALID_PARAMETER_VALUE,
            )
        return self._model.predict(model_input)


def _import_saved_code(folder: Path) -> ModuleType:
    """Import `predictor.py` and `features.py` of a folder as a package with a unique name."""
    package = ModuleType(f"marvel_model_{uuid.uuid4().hex}")
    package.__path__ = [str(folder)]
    sys.modules[package.__name__] = package
    try:
        return importlib.import_module(f"{package.__name__}.predictor")
    finally:
        sys.path_importer_cache.pop(str(folder), None)
        for name in [name for name in list(sys.modules) if name.startswith(package.__name__)]:
            del sys.modules[name]


set_model(CharacterPyfunc())
