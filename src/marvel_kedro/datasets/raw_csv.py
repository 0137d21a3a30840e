"""A raw CSV file, read as text and written as a stream."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pandas as pd
from kedro_datasets.pandas import CSVDataset

from marvel_kedro.errors import ProjectError

_GET_THE_FILE = (
    "Put the Kaggle file (mohitbansal31s/marvel-characters) there, or make synthetic data: "
    "kedro run --pipelines synthetic."
)


class RawCSVDataset(CSVDataset):  # type: ignore[misc]
    """A CSV file of text: cells stay as they are written, an empty cell is an empty string.

    Cleaning decides what a cell means. Saving takes an iterable of frames, so that a file of any
    length is written in bounded memory. Faults of the file end in one `ProjectError`.
    """

    DEFAULT_LOAD_ARGS: dict[str, Any] = {  # noqa: RUF012
        "dtype": "str",
        "keep_default_na": False,
        "index_col": False,  # else a comma at the end of every row shifts all columns
    }
    DEFAULT_SAVE_ARGS: dict[str, Any] = {"index": False, "lineterminator": "\n"}  # noqa: RUF012

    def load(self) -> pd.DataFrame:
        """Read the whole file.

        Returns:
            A frame of strings, with the columns as the file names them.

        Raises:
            ProjectError: The file is missing, empty, not UTF-8 or no CSV.
        """
        path = Path(str(self._filepath))
        if not path.is_file():
            raise ProjectError(f"There is no raw file at {path}. {_GET_THE_FILE}")
        try:
            return cast("pd.DataFrame", pd.read_csv(path, **self._load_args))
        except pd.errors.EmptyDataError as error:
            raise ProjectError(f"{path} is empty. {_GET_THE_FILE}") from error
        except UnicodeDecodeError as error:
            raise ProjectError(
                f"{path} is not UTF-8 text: it has the byte {error.object[error.start]:#04x}. "
                "Convert it (iconv -f latin1 -t utf-8), or set load_args.encoding of "
                "raw_characters in conf/base/processing/catalog.yml."
            ) from error
        except pd.errors.ParserError as error:
            raise ProjectError(f"{path} is no CSV file: {error}. {_GET_THE_FILE}") from error

    def save(self, data: Iterable[pd.DataFrame]) -> None:
        """Write frames one after the other; the file appears when the last one is written."""
        with self._fs.open(str(self._filepath), mode="w", encoding="utf-8", newline="") as file:
            for number, frame in enumerate(data):
                frame.to_csv(file, header=number == 0, **self._save_args)
        self._invalidate_cache()
