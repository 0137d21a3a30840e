"""Score raw records: the model class, its fast path for single records, saving and loading.

This file and those that it imports are saved with every model as they were when it was fitted, and
so is the module `table.features` of the description. That copy scores everywhere: in training,
batch scoring, servers and `mlflow.pyfunc`. The files therefore import nothing of the project.
"""

import ctypes
import hashlib
import json
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from .features import Features, FieldEncoder, OwnFeature, own_features
from .kinds import ColumnEncoder, Encoder

if TYPE_CHECKING:
    import lightgbm

BOOSTER_FILE = "booster.txt"
ENCODER_FILE = "encoder.json"
DESCRIPTION_FILE = "description.json"
CODE_FILES = ("features.py", "fields.py", "kinds.py", "predictor.py")
OWN_CODE_FILE = "own_features.py"
"""The module `table.features` of the description, if it has one."""

_CHUNK_ROWS = 65_536


@dataclass(frozen=True)
class TabularModel:
    """A fitted model.

    Attributes:
        booster_text: The trees in LightGBM's text format.
        encoder: The state of the features.
        classes: The positive class, whose probability the model returns, and the other one.
        threshold: Probability at or above which the prediction is the positive class.
        code: By file name, the source of `CODE_FILES` and of `OWN_CODE_FILE`, if there is one, as
            it was when the model was fitted.
        description: The table description (`table`) and an example record (`example`), which
            explain the model and do not change what it returns.
    """

    booster_text: str
    encoder: Encoder
    classes: tuple[str, str]
    threshold: float
    code: Mapping[str, str]
    description: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, records: pd.DataFrame) -> pd.DataFrame:
        """Score raw records.

        Returns:
            One row per record, with the index of the records: `prediction` (one of the classes) and
            `probability` (of the positive class).
        """
        probability = self.probabilities(records)
        prediction = np.where(probability >= self.threshold, *self.classes)
        scored = {"prediction": prediction, "probability": probability}
        return pd.DataFrame(scored, index=records.index).astype({"prediction": "str"})

    def score(self, records: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
        """Score raw records without pandas: the fast path of servers. Unknown fields are ignored.

        Returns:
            Prediction and probability (of the positive class) per record, equal to those of
            `predict` to the last bit.
        """
        if not records:
            return []
        encoders = self._field_encoders
        rows = b"".join([encoded(record) for record in records for encoded in encoders])
        if len(records) == 1:
            probabilities = [self._single_row(rows)]
        else:
            features = np.frombuffer(rows, dtype=np.float32).reshape(len(records), -1)
            probabilities = np.asarray(self.booster.predict(features)).tolist()
        threshold, (positive, other) = self.threshold, self.classes
        return [(positive if value >= threshold else other, value) for value in probabilities]

    @cached_property
    def booster(self) -> "lightgbm.Booster":
        """The trees, ready to score."""
        import lightgbm  # noqa: PLC0415 - takes seconds; a project that only fetches models skips it

        return lightgbm.Booster(model_str=self.booster_text)

    @cached_property
    def features(self) -> Features:
        """The features, with those of the saved module."""
        source = self.code.get(OWN_CODE_FILE)
        return Features(self.encoder, _own_features(source) if source else [])

    @cached_property
    def _field_encoders(self) -> list[FieldEncoder]:
        return self.features.field_encoders()

    @cached_property
    def _single_row(self) -> Callable[[bytes], float]:
        """Return a function that scores one row of features, given as bytes.

        It calls LightGBM's C interface: `Booster.predict` takes three times as long, mostly to
        inspect its argument.
        """
        import lightgbm  # noqa: PLC0415 - see above

        library: Any = lightgbm.basic._LIB  # type: ignore[attr-defined] # noqa: SLF001 - see above
        handle = ctypes.c_void_p()
        # C_API_PREDICT_NORMAL 0 and C_API_DTYPE_FLOAT32 0, as in LightGBM's c_api.h.
        failed = library.LGBM_BoosterPredictForMatSingleRowFastInit(
            self.booster._handle,  # noqa: SLF001
            ctypes.c_int(0),
            ctypes.c_int(0),
            ctypes.c_int(self.booster.best_iteration),
            ctypes.c_int(0),
            ctypes.c_int32(len(self.features.names)),
            ctypes.c_char_p(b""),
            ctypes.byref(handle),
        )
        if failed:
            raise RuntimeError(f"LightGBM says: {library.LGBM_GetLastError()}")
        weakref.finalize(self.booster, library.LGBM_FastConfigFree, handle)
        predict = library.LGBM_BoosterPredictForMatSingleRowFast
        length, result, lock = ctypes.c_int64(), ctypes.c_double(), threading.Lock()
        length_at, result_at = ctypes.byref(length), ctypes.byref(result)

        def probability(row: bytes) -> float:
            with lock:
                if predict(handle, row, length_at, result_at):
                    raise RuntimeError(f"LightGBM says: {library.LGBM_GetLastError()}")
                return result.value

        return probability

    def probabilities(self, records: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Compute the probability of the positive class per record, in chunks to bound memory."""
        if not len(records):  # `empty` is also true of rows without columns
            return np.empty(0)
        starts = range(0, len(records), _CHUNK_ROWS)
        chunks = (records.iloc[start : start + _CHUNK_ROWS] for start in starts)
        scored = [self.booster.predict(self.features.encode(chunk)) for chunk in chunks]
        return np.concatenate(scored, dtype=np.float64)

    def importances(self) -> "pd.Series[float]":
        """Return the gain in log loss by feature, largest first."""
        gains = self.booster.feature_importance("gain")
        return pd.Series(gains, index=self.features.names).sort_values(ascending=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over what it is made of, in hexadecimal: equal models have equal digests."""
        parts = [part for file in sorted(self._files().items()) for part in file]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write the model to a folder as text and JSON; nothing is pickled."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (self._files() | {DESCRIPTION_FILE: _json(self.description)}).items():
            (folder / name).write_bytes(content.encode())

    @classmethod
    def load(cls, folder: Path) -> "TabularModel":
        """Read the model that `save` wrote."""
        saved = json.loads((folder / ENCODER_FILE).read_bytes())
        columns = {name: _column(found) for name, found in saved["columns"].items()}
        return cls(
            booster_text=(folder / BOOSTER_FILE).read_bytes().decode(),
            encoder=Encoder(saved["positive_share"], columns),
            classes=(saved["classes"][0], saved["classes"][1]),
            threshold=saved["threshold"],
            code=read_code(folder),
            description=json.loads((folder / DESCRIPTION_FILE).read_bytes()),
        )

    def _files(self) -> dict[str, str]:
        settings = asdict(self.encoder) | {"classes": self.classes, "threshold": self.threshold}
        return {
            BOOSTER_FILE: self.booster_text,
            ENCODER_FILE: _json(settings),
            **self.code,
        }


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1)


def _column(saved: dict[str, Any]) -> ColumnEncoder:
    rates = {value: (rows, rate) for value, (rows, rate) in saved["rates"].items()}
    return ColumnEncoder(**(saved | {"parts": tuple(saved["parts"]), "rates": rates}))


def read_code(folder: Path = Path(__file__).parent) -> dict[str, str]:
    """Read the source that is saved with a model, by default that of this package."""
    names = [*CODE_FILES, *([OWN_CODE_FILE] if (folder / OWN_CODE_FILE).is_file() else [])]
    return {name: (folder / name).read_bytes().decode() for name in names}


def _own_features(source: str) -> list[OwnFeature]:
    """Run the module that was saved as text with the model, as an import would."""
    module = ModuleType(f"{__package__}.own_features")
    exec(compile(source, OWN_CODE_FILE, "exec"), vars(module))  # noqa: S102 - the model's own code
    return own_features(module)
