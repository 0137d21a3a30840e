"""Score raw records: the model class, its fast path for single records, saving and loading.

This file and `features.py` are saved with every model as they were when it was fitted. That copy
scores everywhere: in training, batch scoring, servers and `mlflow.pyfunc`. Both files therefore
import nothing of the project.
"""

import ctypes
import hashlib
import json
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from .features import Encoder, FieldEncoder, encode, feature_names, field_encoders

if TYPE_CHECKING:
    import lightgbm

BOOSTER_FILE = "booster.txt"
ENCODER_FILE = "encoder.json"
CODE_FILES = ("features.py", "predictor.py")

_CHUNK_ROWS = 65_536


@dataclass(frozen=True)
class CharacterModel:
    """A fitted model.

    Attributes:
        booster_text: The trees in LightGBM's text format.
        encoder: The state of the features.
        threshold: Probability at or above which the prediction is Alive.
        code: By file name, the source of `CODE_FILES` as it was when the model was fitted.
    """

    booster_text: str
    encoder: Encoder
    threshold: float
    code: Mapping[str, str]

    def predict(self, records: pd.DataFrame) -> pd.DataFrame:
        """Score raw records.

        Returns:
            One row per record, with the index of the records: `prediction` (`Alive` or `Dead`) and
            `probability` (of Alive).
        """
        probability = self.probabilities(records)
        prediction = np.where(probability >= self.threshold, "Alive", "Dead")
        scored = {"prediction": prediction, "probability": probability}
        return pd.DataFrame(scored, index=records.index).astype({"prediction": "str"})

    def score(self, records: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
        """Score raw records without pandas: the fast path of servers. Unknown fields are ignored.

        Returns:
            Prediction and probability (of Alive) per record, equal to those of `predict` to the
            last bit.
        """
        if not records:
            return []
        encoders = self._field_encoders
        rows = b"".join(
            [encoded(record.get(column)) for record in records for column, encoded in encoders]
        )
        if len(records) == 1:
            probabilities = [self._single_row(rows)]
        else:
            features = np.frombuffer(rows, dtype=np.float32).reshape(len(records), -1)
            probabilities = np.asarray(self.booster.predict(features)).tolist()
        threshold = self.threshold
        return [("Alive" if value >= threshold else "Dead", value) for value in probabilities]

    @cached_property
    def booster(self) -> "lightgbm.Booster":
        """The trees, ready to score."""
        import lightgbm  # noqa: PLC0415 - takes seconds; a project that only fetches models skips it

        return lightgbm.Booster(model_str=self.booster_text)

    @cached_property
    def _field_encoders(self) -> list[tuple[str, FieldEncoder]]:
        return field_encoders(self.encoder)

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
            ctypes.c_int32(len(feature_names(self.encoder))),
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
        """Compute the probability of Alive per record, in chunks that bound the memory."""
        if not len(records):  # `empty` is also true of rows without columns
            return np.empty(0)
        starts = range(0, len(records), _CHUNK_ROWS)
        chunks = (records.iloc[start : start + _CHUNK_ROWS] for start in starts)
        scored = [self.booster.predict(encode(chunk, self.encoder)) for chunk in chunks]
        return np.concatenate(scored, dtype=np.float64)

    def importances(self) -> "pd.Series[float]":
        """Return the gain in log loss by feature, largest first."""
        gains = self.booster.feature_importance("gain")
        return pd.Series(gains, index=feature_names(self.encoder)).sort_values(ascending=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the saved files, in hexadecimal: equal models have equal digests."""
        parts = [part for file in sorted(self._files().items()) for part in file]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write the model to a folder as text and JSON; nothing is pickled."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self._files().items():
            (folder / name).write_bytes(content.encode())

    @classmethod
    def load(cls, folder: Path) -> "CharacterModel":
        """Read the model that `save` wrote."""
        saved = json.loads((folder / ENCODER_FILE).read_bytes())
        return cls(
            booster_text=(folder / BOOSTER_FILE).read_bytes().decode(),
            encoder=Encoder(
                alive_share=saved["alive_share"],
                universes={name: tuple(value) for name, value in saved["universes"].items()},
                origin_words=tuple(saved["origin_words"]),
                teams=tuple(saved["teams"]),
            ),
            threshold=saved["threshold"],
            code=read_code(folder),
        )

    def _files(self) -> dict[str, str]:
        settings = asdict(self.encoder) | {"threshold": self.threshold}
        return {
            BOOSTER_FILE: self.booster_text,
            ENCODER_FILE: json.dumps(settings, ensure_ascii=False, indent=1),
            **self.code,
        }


def read_code(folder: Path = Path(__file__).parent) -> dict[str, str]:
    """Read the source that is saved with a model, by default that of this package."""
    return {name: (folder / name).read_bytes().decode() for name in CODE_FILES}
