"""A spool, the table that it is moved to, and processes that fill and move it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from support.project import clean_environment
from support.spooled import entry, spool_in

from marvel_kedro.serving.inference_table.delta_writer import TableWriter

SUPPORT = Path(__file__).parent


class Server:
    """A spool, a table and its writer, in a folder."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.spool_folder, self.table = folder / "spool", folder / "inference"
        self.spool = spool_in(self.spool_folder)
        self.writer = TableWriter(self.table, self.spool_folder, **options)

    def answer(self, *names: str, **values: Any) -> None:
        for name in names:
            assert self.spool.write(entry(name, **values)), self.spool.dropped
        self.spool.rotate()

    def flush(self) -> int:
        rows = self.writer.flush(now=True)
        assert self.writer.last_error is None, self.writer.last_error
        return rows

    def names(self) -> list[str]:
        return names_in(self.table)


def names_in(table: Path) -> list[str]:
    column = DeltaTable(table).to_pyarrow_table(columns=["databricks_request_id"])[0]
    return sorted(column.to_pylist())


def run_script(name: str, *words: str | Path, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SUPPORT / name), *map(str, words)],
        env=clean_environment() | {"OMP_NUM_THREADS": "1"},
        text=True,
        **options,
    )


@contextmanager
def running(*processes: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
