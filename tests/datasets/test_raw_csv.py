import csv
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.datasets.raw_csv import RawCSVDataset
from marvel_kedro.project.error_messages import explain


def load(path: Path, content: bytes) -> pd.DataFrame:
    path.write_bytes(content)
    frame: pd.DataFrame = RawCSVDataset(filepath=str(path)).load()
    return frame


def message(path: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        RawCSVDataset(filepath=str(path)).load()
    assert isinstance(caught.value.__cause__, ProjectError)
    return explain(caught.value) or ""


def test_cells_are_loaded_as_text(tmp_path: Path) -> None:
    frame = load(tmp_path / "r.csv", b'PageID,Height (m)\nNA,1.80\n"a, ""b""",\n')
    assert frame.to_dict("list") == {"PageID": ["NA", 'a, "b"'], "Height (m)": ["1.80", ""]}


def test_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    assert list(load(tmp_path / "r.csv", b"\xef\xbb\xbfPageID,Name\na,b\n").columns) == [
        "PageID",
        "Name",
    ]


def test_missing_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    assert f"There is no raw file at {path}" in message(path)
    assert "kedro adopt FILE" in message(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "describe another one: kedro adopt FILE"),
        (b"", "is empty"),
        ("PageID\nPagé\n".encode("latin-1"), "is not UTF-8 text: it has the byte 0xe9"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is not UTF-8 text"),
        (b'a,b\n1,2\n1,2,3,4\n"', "is not a CSV file"),
        (b"a,b\n1,2\n3,4\n5,6,7\n", "Expected 2 fields in line 4, saw 3"),
        (b"a,b\n1,2\n3,4,\n", "Expected 2 fields in line 3, saw 3"),
        (b"a,b\n1,2,9\n3,4\n", "more cells than columns: 1, the first is row 1 "),
        (b"a,b\n1,2,\n3,4,5\n6,7,8\n", "more cells than columns: 2, the first is row 2 "),
        (b"a;b\n1;2,9\n", "read: {separator: ..}"),
        (b"a,b\n1,2,,\n3,4,,5\n", "more cells than columns: 1, the first is row 2 "),
    ],
)
def test_unreadable_file_is_reported_with_its_remedy(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(content)
    assert words in message(path)
    assert str(path) in message(path)


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,02\n,x\n",
        "a,b\n1,02,\n,x,\n",
        "a,b\n1,02,\n,x\n",
        "a,b\n1,02,,\n,x,,\n",
        "a,b,\n1,02,\n,x,\n",
    ],
)
def test_trailing_comma_is_ignored(tmp_path: Path, content: str) -> None:
    frame = load(tmp_path / "r.csv", content.encode())
    expected = pd.DataFrame({"a": ["1", ""], "b": ["02", "x"]}, dtype="str")
    pd.testing.assert_frame_equal(frame[["a", "b"]], expected)


def test_header_without_rows_is_an_empty_table(tmp_path: Path) -> None:
    frame = load(tmp_path / "r.csv", b"a,b\n")
    assert (list(frame.columns), len(frame)) == (["a", "b"], 0)


def test_frames_are_streamed_into_one_file(tmp_path: Path) -> None:
    dataset = RawCSVDataset(filepath=str(tmp_path / "r.csv"))
    dataset.save(pd.DataFrame({"": [str(i)], "Name": ['x "y"']}) for i in range(3))
    assert (tmp_path / "r.csv").read_text() == ',Name\n0,"x ""y"""\n1,"x ""y"""\n2,"x ""y"""\n'


@pytest.mark.parametrize("name", ["r.csv", "r.csv.gz", "r.csv.zip"])
def test_failed_stream_leaves_no_file(name: str, tmp_path: Path) -> None:
    def frames() -> Iterator[pd.DataFrame]:
        yield pd.DataFrame({"a": ["1"]})
        raise RuntimeError("broken")

    with pytest.raises(DatasetError, match="broken"):
        RawCSVDataset(filepath=str(tmp_path / name)).save(frames())
    assert list(tmp_path.iterdir()) == []


HEADER = b"a,b,c,d\n"
ROWS = b"".join(b"%d,x,y,z\n" % number for number in range(4, 9))


@pytest.mark.parametrize(
    ("content", "line", "rows"),
    [
        (HEADER + b'1,"x,y,z\n2,x,y,z\n3,"x",y,z\n', 2, 2),
        (HEADER + b'1,x,y,z\n2,"x,y,z\n3,x",y,z\n', 3, 1),
        (HEADER + b'1,x,y,"z\n' + ROWS + b'9,x,y,"z"\n', 2, 6),
        (HEADER + b'1,"two\nlines","x,y\n' + ROWS + b'9,x,"y",z\n', 3, 6),
        (HEADER + b'1,"x,y,z\n' + ROWS, 2, 6),
        (HEADER.replace(b",", b";") + b'1;"x;y;z\r\n2;x;y;z\r\n3;"x";y;z\r\n', 2, 2),
    ],
)
def test_cell_that_holds_rows_is_refused_with_its_line(
    tmp_path: Path, content: bytes, line: int, rows: int
) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(content)
    arguments = {"sep": ";"} if b";" in content else {}
    with pytest.raises(DatasetError) as caught:
        RawCSVDataset(filepath=str(path), load_args=arguments).load()
    text = explain(caught.value) or ""
    assert f"begins in line {line} holds {rows} more rows" in text
    assert str(path) in text


UNCLOSED = HEADER.decode() + '1,"x,y,z\n2,x,y,z\n3,"x",y,z\n4,x,y,z\n5,x,y,z\n'


@pytest.mark.parametrize(
    ("above", "encoding", "end", "arguments", "line"),
    [
        ("", "utf-8-sig", "\n", {"encoding": "utf-8-sig"}, 2),
        ("", "utf-8-sig", "\n", {}, 2),
        ("", "utf-16", "\n", {"encoding": "utf-16"}, 2),
        ("", "utf-8", "\r", {}, 2),
        ("Export\n", "utf-8", "\n", {"skiprows": 1}, 3),
        ("Export\n", "utf-8", "\n", {"header": 1}, 3),
        ("# of today\n", "utf-8", "\n", {"comment": "#"}, 3),
        ("", "utf-8", "\n", {"delimiter": ","}, 2),
        ("", "utf-8", "\n", {"names": list("pqrs")}, 2),
    ],
)
def test_rows_in_a_cell_are_found_however_the_file_is_read(  # noqa: PLR0913, PLR0917 - of one file
    tmp_path: Path, above: str, encoding: str, end: str, arguments: dict[str, Any], line: int
) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes((above + UNCLOSED).replace("\n", end).encode(encoding))
    with pytest.raises(DatasetError, match=f"begins in line {line} holds 2 more rows"):
        RawCSVDataset(filepath=str(path), load_args=arguments).load()


@pytest.mark.parametrize(
    "content",
    [
        HEADER + b'1,"x,\ny, z",y,z\n2,x,y,z\n',
        HEADER + b'1,"one\n\ntwo, three",y,"a ""b""\nc"\n' + ROWS,
        HEADER + b'1,6" tall,y,z\n' + ROWS + b'9,5",y,z\n',
        HEADER + b'1,6" tall,y,z\n' + ROWS + b'9,"x\r\ny",y,z\n',
        b'a,b\n1,"2, 3\n4,5"\n',
    ],
)
def test_cells_of_several_lines_are_read(tmp_path: Path, content: bytes) -> None:
    assert (
        len(load(tmp_path / "r.csv", content))
        == len(list(csv.reader(content.decode().splitlines(keepends=True)))) - 1
    )


@pytest.mark.parametrize("name", ["r.csv.gz", "r.csv.zip", "r.csv.xz", "r.csv.bz2"])
def test_file_is_compressed_by_its_name_as_it_is_read(name: str, tmp_path: Path) -> None:
    dataset = RawCSVDataset(filepath=str(tmp_path / name))
    dataset.save([pd.DataFrame({"PageID": ["1", "2"]}), pd.DataFrame({"PageID": ["é"]})])
    assert dataset.load()["PageID"].tolist() == ["1", "2", "é"]
    assert not (tmp_path / name).read_bytes().startswith(b"PageID")


def test_types_of_parquet_become_text_without_loss(tmp_path: Path) -> None:
    columns = {
        "whole": pa.array([1, None, 2**53 + 1]),
        "float": pa.array([3.0, 1e-7, 1e20]),
        "single": pa.array([0.1, float("nan"), None], pa.float32()),
        "bool": [True, None, False],
        "time": pa.array([datetime(2024, 1, 2), datetime(2024, 1, 2, 3, 4, 5, 600000), None]),  # noqa: DTZ001
        "zoned": pa.array([datetime(2024, 1, 2, 3)] * 3, pa.timestamp("ms", "UTC")),  # noqa: DTZ001
        "day": [date(2024, 1, 2)] * 3,
        "price": [Decimal("1.20"), Decimal("-3.00"), None],
        "items": [["a", "b"], [], None],
        "levels": pa.array(["x", None, "y"]).dictionary_encode(),
        "nothing": pa.nulls(3),
    }
    pq.write_table(pa.table(columns), tmp_path / "r.parquet")
    dataset = RawCSVDataset(filepath=str(tmp_path / "r.parquet"))
    assert dataset.load().to_dict("list") == {
        "whole": ["1", "", "9007199254740993"],
        "float": ["3", "0.0000001", "1e+20"],
        "single": ["0.1", "", ""],
        "bool": ["true", "", "false"],
        "time": ["2024-01-02", "2024-01-02 03:04:05.600000", ""],
        "zoned": ["2024-01-02 03:00:00Z"] * 3,
        "day": ["2024-01-02"] * 3,
        "price": ["1.20", "-3.00", ""],
        "items": ["a;b", "", ""],
        "levels": ["x", "", "y"],
        "nothing": ["", "", ""],
    }
    assert dataset.preview(1)["columns"] == list(columns)


def test_encoding_and_separator_are_those_of_the_description(tmp_path: Path) -> None:
    for encoding, separator in (("cp1252", ";"), ("utf-16", "\t"), ("utf-8-sig", "|")):
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes(f"a{separator}b\n1,5{separator}é\n".encode(encoding))
        read = {"encoding": encoding, "separator": separator}
        frame = RawCSVDataset(filepath=str(path), read=read).load()
        assert frame.to_dict("list") == {"a": ["1,5"], "b": ["é"]}
