"""The table of served entities has each of them once."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from deltalake import DeltaTable
from support.spool_to_table import Server

from marvel_kedro.serving.inference_table.delta_writer import TableWriter


def served(name: str, **values: str) -> dict[str, Any]:
    return {
        "served_entity_id": name,
        "endpoint_name": "marvel",
        "served_entity_name": "champion",
        "entity_name": "marvel_characters",
        "entity_version": "3",
        "change_time": datetime(2026, 1, 1, tzinfo=UTC),
    } | values


def served_in(folder: Path) -> pd.DataFrame:
    return DeltaTable(folder / "served_entities").to_pandas().sort_values("served_entity_id")


def test_served_entity_is_added_once(server: Server) -> None:
    server.writer.note_served([served("a"), served("b", entity_version="4")])
    server.writer.note_served([served("a")])
    server.flush()
    version = DeltaTable(server.table.with_name("served_entities")).version()
    server.writer.close()
    again = Server(server.table.parent)
    again.writer.note_served([served("b"), served("a")])
    again.flush()
    assert DeltaTable(server.table.with_name("served_entities")).version() == version
    again.writer.note_served([served("b"), served("c")])
    again.flush()
    table = served_in(server.table.parent)
    assert list(table["served_entity_id"]) == ["a", "b", "c"]
    assert list(table["entity_version"]) == ["3", "4", "3"]


def test_concurrent_servers_add_served_entity_once(tmp_path: Path) -> None:
    writers = [TableWriter(tmp_path / "inference", tmp_path / str(n), pause=0) for n in range(4)]

    def note(writer: TableWriter) -> None:
        for number in range(5):
            writer.note_served([served(str(number))])
            for _ in range(20):
                writer.flush()
                if writer.last_error is None:
                    break

    threads = [threading.Thread(target=note, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [writer.last_error for writer in writers] == [None] * 4
    assert list(served_in(tmp_path)["served_entity_id"]) == ["0", "1", "2", "3", "4"]
