"""Log a fitted model as an MLflow model that loads without this project."""

import tempfile
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, DataType, Schema

from marvel_kedro.model.portable.fields import number
from marvel_kedro.model.portable.predictor import TabularModel
from marvel_kedro.table.description import TableSpec

REQUIREMENTS = ("mlflow", "lightgbm", "numpy", "pandas")


def signature(model: TabularModel) -> ModelSignature:
    """Return the signature of a model: the inputs of its table, all of them optional."""
    inputs = TableSpec.model_validate(model.description["table"]).inputs
    types = {True: DataType.double, False: DataType.string}
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(types[column.is_number], name, required=False)
                for name, column in inputs.items()
            ]
        ),
        outputs=Schema(
            [ColSpec(DataType.string, "prediction"), ColSpec(DataType.double, "probability")]
        ),
    )


def conform(records: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Convert records of any types to the types of the signature.

    MLflow rejects a column of another type than the signature's, and turns the nulls of pyarrow
    columns into text. `portable/fields.py` describes the values of a field.

    Returns:
        The same rows with exactly the columns of the schema, absent ones null: text or null as
        objects, numbers as floats.
    """
    conformed = records.reindex(columns=schema.input_names())
    for column in schema.inputs:
        values = conformed[column.name]
        if column.type == DataType.string:
            conformed[column.name] = values.astype(object).where(values.notna(), None)
        elif values.dtype != np.float64:
            conformed[column.name] = np.array([number(value) for value in values], np.float64)
    return conformed


def log_candidate(model: TabularModel, name: str) -> ModelInfo:
    """Log a model in the active MLflow run under a name."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        model.save(folder)
        return mlflow.pyfunc.log_model(
            name=name,
            python_model=str(Path(__file__).with_name("portable") / "pyfunc.py"),
            artifacts={"model": str(folder)},
            signature=signature(model),
            input_example=pd.DataFrame([model.description["example"]]),
            pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
            metadata={"model_digest": model.digest, "table": model.description["table"]},
        )
