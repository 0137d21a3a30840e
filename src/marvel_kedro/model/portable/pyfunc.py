"""Score with `mlflow.pyfunc`: logged as code, so that loading a model unpickles nothing.

This file is copied into the MLflow model and imports nothing of the project.
"""

import importlib
import sys
import uuid
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class TabularPyfunc(PythonModel):
    """The MLflow model: takes raw records, returns `prediction` and `probability`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model with the code in its own folder."""
        folder = Path(context.artifacts["model"])
        self._model = _import_saved_code(folder).TabularModel.load(folder)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002 - MLflow's signature
    ) -> pd.DataFrame:
        """Score raw records; `fields.py` describes the values of a field.

        Raises:
            MlflowException: The input is a Spark frame; a value is neither text nor a number; or no
                record has a field of the signature. MLflow passes such records on as a frame
                without columns and rows, so their number is unknown.
        """
        if not isinstance(model_input, pd.DataFrame):
            raise _invalid(
                f"The model takes a pandas.DataFrame; got {type(model_input).__name__}. For a "
                "Spark frame use mlflow.pyfunc.spark_udf."
            )
        if not len(model_input.columns):
            raise _invalid(
                "No record has a field that the model knows: send at least one of "
                f"{', '.join(self._model.encoder.columns)}."
            )
        for column in model_input:
            _check_values(model_input[column])
        return self._model.predict(model_input)


_VALUES = (str, int, float, Decimal, np.number, np.bool_, type(None), type(pd.NA), type(pd.NaT))


def _check_values(values: "pd.Series[Any]") -> None:
    """Reject a list: MLflow makes one record of a dictionary of lists of text."""
    if values.dtype != object:
        return
    other = {kind for kind in set(map(type, values)) if not issubclass(kind, _VALUES)}
    if not other:
        return
    row, kind = next((row, kind) for row, kind in enumerate(map(type, values)) if kind in other)
    raise _invalid(
        f"The column {values.name} must hold text or null; record {row} has a value of type "
        f"{kind.__name__}. Pass several records as a pandas.DataFrame, not as a dictionary of "
        "lists, from which MLflow makes one record."
    )


def _invalid(message: str) -> MlflowException:
    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)


def _import_saved_code(folder: Path) -> ModuleType:
    """Import `predictor.py` of a folder and what it imports as a package with a unique name."""
    package = ModuleType(f"marvel_model_{uuid.uuid4().hex}")
    package.__path__ = [str(folder)]
    sys.modules[package.__name__] = package
    try:
        return importlib.import_module(f"{package.__name__}.predictor")
    finally:
        sys.path_importer_cache.pop(str(folder), None)
        for name in [name for name in list(sys.modules) if name.startswith(package.__name__)]:
            del sys.modules[name]


set_model(TabularPyfunc())
