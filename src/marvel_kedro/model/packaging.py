"""A fitted model as an MLflow model, with all that it needs elsewhere."""

import tempfile
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, DataType, Schema

from marvel_kedro.model.portable.predictor import (
    NUMBER_COLUMNS,
    TEXT_COLUMNS,
    CharacterModel,
    number,
)

REQUIREMENTS = ("mlflow", "lightgbm", "numpy", "pandas")

SIGNATURE = ModelSignature(
    inputs=Schema(
        [
            *(ColSpec(DataType.string, name, required=False) for name in TEXT_COLUMNS),
            *(ColSpec(DataType.double, name, required=False) for name in NUMBER_COLUMNS),
        ]
    ),
    outputs=Schema(
        [ColSpec(DataType.string, "prediction"), ColSpec(DataType.double, "probability")]
    ),
)

EXAMPLE = pd.DataFrame(
    {
        "name": ["Example Character"],
        "universe": ["Earth-616"],
        "identity": ["Public"],
        "gender": ["Female"],
        "marital_status": ["Single"],
        "teams": ["First Team; Second Team"],
        "origin": ["Human mutate"],
        "height": [1.78],
        "weight": [61.2],
    }
)


def conform(records: pd.DataFrame, schema: Schema = SIGNATURE.inputs) -> pd.DataFrame:
    """Give records of any types the types that MLflow takes for them.

    MLflow refuses a column of another type than the signature's, and makes text of the nulls that
    pyarrow holds. What a value means is the same as in `scoring.py`.

    Args:
        records: Raw records, in any types; columns that the schema lacks are left out.
        schema: The input columns.

    Returns:
        As many rows, with every column of the schema: text, or null, as objects; numbers as floats.
    """
    columns = {}
    for column in schema.inputs:
        values = records.get(column.name, pd.Series(None, index=records.index, dtype=object))
        if column.type == DataType.string:
            columns[column.name] = values.astype(object).where(values.notna(), None)
        elif values.dtype != np.float64:
            columns[column.name] = pd.Series(
                [number(value) for value in values], index=records.index, dtype=np.float64
            )
        else:
            columns[column.name] = values
    return pd.DataFrame(columns, index=records.index)


def log_candidate(model: CharacterModel, name: str) -> ModelInfo:
    """Log a model in the active MLflow run.

    Every input column is optional, since the model has an answer for an absent one.

    Args:
        model: The model.
        name: What MLflow calls it.

    Returns:
        Where the model is, and its id.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        model.save(folder)
        return mlflow.pyfunc.log_model(
            name=name,
            python_model=str(Path(__file__).with_name("portable") / "pyfunc.py"),
            artifacts={"model": str(folder)},
            signature=SIGNATURE,
            input_example=EXAMPLE,
            pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
            metadata={"model_digest": model.digest},
        )
