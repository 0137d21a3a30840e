"""A server's table writer in a process of its own: `python table_writer.py TABLE SPOOL [POINT]`.

Without a point it flushes until SIGTERM, and compacts files all the time. With one it kills itself
there: `gathered`, `written` (before Delta's commit is known), `deleting` (one file is gone).
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import marvel_kedro.serving.inference_table.delta_writer
from marvel_kedro.serving.inference_table.delta_writer import TableWriter


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    table, spool = map(Path, sys.argv[1:3])
    point = sys.argv[3] if len(sys.argv) > 3 else None
    inference_table: Any = marvel_kedro.serving.inference_table.delta_writer
    write = inference_table.write_deltalake

    def write_and_die(*values: Any, **options: Any) -> None:
        write(*values, **options)
        die()

    def delete_one_and_die(batch: Path) -> None:
        next(batch.iterdir()).unlink()
        die()

    if point == "gathered":
        inference_table.write_deltalake = die
    elif point == "written":
        inference_table.write_deltalake = write_and_die
    elif point == "deleting":
        shutil.rmtree = delete_one_and_die  # type: ignore[assignment]

    going = True

    def stop(*_: object) -> None:
        nonlocal going
        going = False

    signal.signal(signal.SIGTERM, stop)
    writer = TableWriter(table, spool, compact_files=2, pause=0.01)
    while going:
        writer.flush()
        time.sleep(0.02)
    for _ in range(20):
        writer.flush(now=True)
        if writer.last_error is None:
            break
    print(writer.rows, writer.last_error)


if __name__ == "__main__":
    main()
