import os
import sqlite3
from collections.abc import KeysView
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.churn import CHURN
from support.table import TABLE

from marvel_kedro.datasets.online_table import OnlineTableDataset
from marvel_kedro.pipelines.serving.nodes import publish_records
from marvel_kedro.serving import lookup
from marvel_kedro.serving.http.errors import RequestError
from marvel_kedro.table.description import TableSpec

INPUTS = dict.fromkeys(TABLE.inputs).keys()


class Lookup(lookup.Lookup):
    """A lookup of the tests' table, for a model with its inputs."""

    def __init__(self, path: Path, table: TableSpec = TABLE) -> None:
        super().__init__(path, table)

    def complete(
        self, records: list[dict[str, Any]], inputs: KeysView[str] = INPUTS
    ) -> list[dict[str, Any]]:
        return super().complete(records, inputs)


@pytest.fixture
def path(tmp_path: Path, characters: pd.DataFrame) -> Path:
    publish(tmp_path / "online.db", characters)
    return tmp_path / "online.db"


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "LOOK_SECONDS", 0.0)


def publish(path: Path, characters: pd.DataFrame) -> None:
    OnlineTableDataset(str(path)).save(publish_records(characters, TABLE))


def expected(characters: pd.DataFrame, row: int) -> dict[str, Any]:
    record = characters.iloc[row][["page_id", *INPUTS]].to_dict()
    return {str(name): None if pd.isna(value) else value for name, value in record.items()}


def error_message(found: Lookup, *records: dict[str, Any]) -> str:
    with pytest.raises(RequestError) as caught:
        found.complete(list(records))
    assert caught.value.status == 400
    return str(caught.value)


def test_complete_adds_fields_to_record_with_only_an_id(
    path: Path, characters: pd.DataFrame
) -> None:
    records = [{"page_id": page} for page in characters["page_id"]]
    completed = Lookup(path).complete(records)
    assert completed == [expected(characters, row) for row in range(len(characters))]
    assert all(set(record) == {"page_id"} for record in records)


def test_sent_fields_override_stored_ones(path: Path, characters: pd.DataFrame) -> None:
    stored = expected(characters, 0)
    assert stored["name"]
    sent = {"page_id": stored["page_id"], "name": None, "origin": "Cheese", "shoe": 44}
    assert Lookup(path).complete([sent]) == [stored | sent]


def test_records_without_id_are_returned_unchanged(path: Path) -> None:
    records: list[dict[str, Any]] = [{"name": "X"}, {}]
    assert Lookup(path).complete(records) is records


def test_unknown_id_with_other_fields_is_accepted(path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"page_id": "unknown", "weight": None},
        {"page_id": 7, "name": "X"},
    ]
    assert Lookup(path).complete(records) == records


def test_error_quotes_up_to_five_unknown_ids(path: Path, characters: pd.DataFrame) -> None:
    known = {"page_id": characters["page_id"][0]}
    odd: list[Any] = ["b", 'a"', None, 7, ["l"], "6th", "6th", "7th"]
    message = error_message(Lookup(path), known, *({"page_id": value, "shoe": 1} for value in odd))
    assert '7 unknown page_id: "b", "a\\"", null, 7, ["l"] and 2 more.' in message
    assert "send the fields themselves, such as name, universe, identity." in message
    assert message.count(known["page_id"]) == 0


def test_numeric_id_is_looked_up_as_text(tmp_path: Path, characters: pd.DataFrame) -> None:
    numbered = characters.assign(page_id=[str(1000 + row) for row in range(len(characters))])
    publish(tmp_path / "numbered.db", numbered)
    found = Lookup(tmp_path / "numbered.db")
    for sent in (1003, 1003.0):
        assert found.complete([{"page_id": sent}]) == [expected(numbered, 3) | {"page_id": sent}]
        record = {"page_id": sent, "universe": "Earth-1"}
        assert found.complete([record]) == [expected(numbered, 3) | record]
    assert "1 unknown page_id" in error_message(found, {"page_id": [1003]})


def test_id_that_is_not_utf8_is_unknown(path: Path) -> None:
    assert "1 unknown page_id" in error_message(Lookup(path), {"page_id": "\ud800"})


def test_missing_file_rejects_only_records_that_need_it(
    tmp_path: Path, characters: pd.DataFrame
) -> None:
    path = tmp_path / "online.db"
    found = Lookup(path)
    page = characters["page_id"][0]
    assert "kedro run --pipelines serving" in error_message(found, {"page_id": page})
    assert found.complete([{"page_id": page, "name": "X"}]) == [{"page_id": page, "name": "X"}]
    publish(path, characters)
    assert found.complete([{"page_id": page}]) == [expected(characters, 0)]
    path.unlink()
    assert "kedro run --pipelines serving" in error_message(found, {"page_id": page})


def test_file_of_an_earlier_release_is_read(tmp_path: Path, characters: pd.DataFrame) -> None:
    with sqlite3.connect(tmp_path / "old.db") as connection:
        connection.execute("CREATE TABLE online_records (page_id TEXT PRIMARY KEY, fields TEXT)")
        connection.execute("INSERT INTO online_records VALUES ('7', '{\"name\": \"Groot\"}')")
    connection.close()
    completed = Lookup(tmp_path / "old.db").complete([{"page_id": 7}])
    assert completed == [{"page_id": 7, "name": "Groot"}]


def test_file_of_another_table_is_named_as_outdated(path: Path) -> None:
    found = Lookup(path, CHURN)
    message = error_message(found, {"customer": "b"})
    assert "has the key page_id in place of customer" in message
    assert "kedro run --pipelines serving creates it again" in message
    records = [{"customer": "b", "name": "X"}, {"page_id": "c"}]
    assert found.complete(records) == records


def test_key_may_have_any_name_of_a_column(tmp_path: Path) -> None:
    for key in ("fields", "order", "rowid"):
        rows = pd.DataFrame({key: ["a"], "name": ["A"]})
        OnlineTableDataset(str(tmp_path / f"{key}.db")).save(rows)
        columns = CHURN.columns | {key: CHURN.columns["customer"]}
        table = CHURN.model_copy(update={"key": key, "columns": columns})
        completed = Lookup(tmp_path / f"{key}.db", table).complete([{key: "a"}])
        assert completed == [{key: "a", "name": "A"}]


def test_replaced_file_is_read(path: Path, characters: pd.DataFrame) -> None:
    found = Lookup(path)
    page = characters["page_id"][0]
    found.complete([{"page_id": page}])
    publish(path, characters.assign(name="Renamed"))
    assert found.complete([{"page_id": page}])[0]["name"] == "Renamed"


def test_file_is_checked_at_most_once_per_interval(
    path: Path, characters: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "LOOK_SECONDS", 1000.0)
    found = Lookup(path)
    page = characters["page_id"][0]
    old = found.complete([{"page_id": page}])
    publish(path, characters.assign(name="Renamed"))
    assert found.complete([{"page_id": page}]) == old


@pytest.mark.parametrize("content", [b"", b"x" * 9000, None])
def test_damaged_file_rejects_only_records_that_need_it(
    path: Path, characters: pd.DataFrame, content: bytes | None
) -> None:
    page = characters["page_id"][0]
    damaged = path.with_name("damaged.db")
    damaged.write_bytes(path.read_bytes()[:20_000] if content is None else content)
    os.replace(damaged, path)  # noqa: PTH105 - such as an interrupted copy
    found = Lookup(path)
    assert "damaged" in error_message(found, {"page_id": page})
    assert found.complete([{"page_id": page, "name": "X"}]) == [{"page_id": page, "name": "X"}]
    publish(path, characters)
    assert found.complete([{"page_id": page}]) == [expected(characters, 0)]


def test_damaged_page_rejects_only_its_own_records(path: Path, characters: pd.DataFrame) -> None:
    with sqlite3.connect(path) as connection:
        broken = "UPDATE online_records SET _fields = '{' WHERE page_id = ?"
        connection.execute(broken, (characters["page_id"][0],))
    connection.close()
    found = Lookup(path)
    assert "damaged" in error_message(found, {"page_id": characters["page_id"][0]})
    assert found.complete([{"page_id": characters["page_id"][1]}]) == [expected(characters, 1)]


def test_threads_complete_records_while_files_change(path: Path, characters: pd.DataFrame) -> None:
    found = Lookup(path)
    records = [{"page_id": page} for page in characters["page_id"][:500]]
    expected_records = [expected(characters, row) for row in range(500)]
    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(found.complete, records) for _ in range(40)]
        for _ in range(3):
            publish(path, characters)
        assert all(answer.result() == expected_records for answer in answers)


def test_threads_do_not_get_rows_of_each_other(path: Path, characters: pd.DataFrame) -> None:
    """Python 3.12 gives all threads one statement, which another thread may reset."""
    found = Lookup(path)
    pages = list(characters["page_id"][:400])
    expected_records = [expected(characters, row) for row in range(400)]

    def one_by_one() -> bool:
        return all(
            found.complete([{"page_id": page}]) == [one]
            for page, one in zip(pages, expected_records, strict=True)
        )

    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(one_by_one) for _ in range(40)]
        assert all(answer.result() for answer in answers)
