"""The MLflow face of a model, logged as code: loading it unpickles nothing.

The model's folder holds the `scoring.py` that it was fitted with. That copy is imported under a
name of its own, so that two versions in one process, each with its own features, do not mix.
"""

import importlib.util
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
    """Raw records in; `prediction` and `probability` out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model from its folder."""
        folder = Path(context.artifacts["model"])
        self._model = _import_code(folder / "scoring.py").CharacterModel.load(folder)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002 - MLflow's signature
    ) -> pd.DataFrame:
        """Score raw records; see `scoring.py` for what a field may hold.

        Raises:
            MlflowException: No record has a field of the signature. MLflow hands such records on as
                a frame without columns and without rows, so that nobody can tell how many they are.
        """
        if not len(model_input.columns):
            raise MlflowException(
                "No record has a field that the model knows: send at least one of "
                "name, universe, identity, gender, marital_status, teams, origin, height, weight.",
                error_code=INVALID_PARAMETER_VALUE,
            )
        scored: pd.DataFrame = self._model.predict(model_input)
        return scored


def _import_code(path: Path) -> ModuleType:
    name = f"marvel_scoring_{uuid.uuid4().hex}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise ImportError(f"The model's code {path} cannot be imported.")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look their module up while they are made
    try:
        specification.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module


set_model(CharacterPyfunc())
