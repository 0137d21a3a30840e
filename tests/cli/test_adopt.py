"""`kedro adopt`: one command from a file to a description that runs on every engine."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from support import adoption
from support.adoption import customers, description, write_csv, write_lines
from support.project import ROOT, Outcome, Project

from marvel_kedro import cli
from marvel_kedro.project import configuration

KINDS = {
    "customer_id": "id",
    "balance_eur": "number",
    "grosse": "number",
    "zip": "category",
    "member": "boolean",
    "since": "date",
    "tags": "set",
    "tariff": "category",
    "order_by": "category",
    "churned": "category",
}


def adopt(project: Project, file: Path, *words: str) -> Outcome:
    return project.cli(str(file), *words, command=cli.adopt)


def files_of(project: Project) -> dict[Path, bytes]:
    """Every file of the configuration and of the data."""
    folders = (project.path / "conf", project.path / "data")
    return {
        path: path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


def refused(project: Project, file: Path, *words: str) -> str:
    """Adopt a file that is refused with one message; return it."""
    before = files_of(project)
    outcome = adopt(project, file, *words)
    assert outcome.status == 1, outcome.output
    assert outcome.output.count("Error:") == 1
    assert files_of(project) == before, "something was written"
    return outcome.output


def as_parquet(folder: Path) -> Path:
    frame = customers()
    frame["Member"] = frame["Member"] == "yes"
    frame.to_parquet(folder / "customers.parquet", index=False)
    return folder / "customers.parquet"


def as_excel(folder: Path) -> Path:
    customers().to_excel(folder / "customers.xlsx", index=False)
    return folder / "customers.xlsx"


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (adoption.write_german_csv, {"separator": ";", "encoding": "cp1252"}),
        (lambda folder: write_csv(folder, customers(), "customers.csv.gz"), {}),
        (as_parquet, {}),
        (as_excel, {}),
    ],
)
def test_any_file_becomes_the_same_table_on_every_engine(
    project: Project, tmp_path: Path, make: Callable[[Path], Path], read: dict[str, str]
) -> None:
    before = files_of(project)
    file = make(tmp_path)
    outcome = adopt(project, file)
    assert outcome.status == 0, outcome.output
    found = description(project)
    assert {name: column["kind"] for name, column in found["columns"].items()} == KINDS
    assert found.get("read", {}) == read
    assert found["key"] == "customer_id"
    assert found["target"] == {"column": "churned", "positive": "Yes", "negative": "No"}
    assert found["row"] == {"one": "customer", "many": "customers"}
    written = {path for path, content in files_of(project).items() if before.get(path) != content}
    raw = project.path / "data" / "01_raw" / file.name
    assert written == {project.path / "conf" / "base" / "table.yml", raw}
    assert raw.read_bytes() == file.read_bytes()

    expected = customers().set_index("Customer ID")
    for env in ("base", "lakehouse") if read else ("lakehouse",):
        done = project.cli("--env", env, "--pipelines", "processing")
        assert done.status == 0, done.output
        folder = project.path / "data" / "warehouse" / found["name"]
        rows = (
            project.table("records") if env == "base" else _delta(folder / "records")
        ).set_index("customer_id")
        rows = rows.loc[expected.index]
        assert rows["balance_eur"].to_list() == expected["Balance (EUR)"].to_list()
        assert rows["grosse"].to_list() == expected["Größe"].to_list()
        assert rows["zip"].to_list() == expected["ZIP"].to_list()
        assert rows["tags"].fillna("").to_list() == expected["Tags"].to_list()
        form = found["columns"]["since"].get("format", "%Y-%m-%d")
        assert (pd.to_datetime(rows["since"], format=form) == expected["Since"]).all()


def _delta(folder: Path) -> pd.DataFrame:
    from deltalake import DeltaTable

    return DeltaTable(folder).to_pandas()


CSV = "id,age,city,outcome\n" + "".join(
    f"{row},{20 + row},{'ABC'[row % 3]},{'xy'[row % 2]}\n" for row in range(40)
)


def with_column(name: str, *values: str) -> str:
    """`CSV` with another column, whose values repeat."""
    header, *rows = CSV.splitlines()
    added = [f"{row},{values[place % len(values)]}" for place, row in enumerate(rows)]
    return "\n".join([f"{header},{name}", *added]) + "\n"


@pytest.mark.parametrize(
    ("text", "words", "named"),
    [
        ("", (), "rows.csv is empty"),
        ("id,age,outcome\n", (), "a header and no rows"),
        ("outcome\nx\ny\n", (), "the one column outcome"),
        ("1,2,3\n4,5,6\n", (), "The first line"),
        ("id,age,age,outcome\n1,2,3,x\n", (), "several columns named age: rename"),
        ('id,"age\n1,2\n3,4\n5,6\n', (), "rows.csv"),
        (CSV.replace("3,23,A,y", '3,23,"A,y'), (), "rows.csv"),
        (CSV + "1,2,3,4,5,6\n", (), "Expected 4 fields"),
        (CSV, ("--target", "nope"), "--target nope: the file has no such column; it has id, age"),
        (CSV, ("--drop", "nope"), "--drop nope: the file has no such column"),
        (CSV, ("--drop", "outcome", "--target", "outcome"), "it is the key or the target"),
        (CSV, ("--key", "city"), "--key city: the column has 3 values in several rows ('A', "),
        (CSV.replace("7,27", ",27"), ("--key", "id"), "--key id: the column is empty in 1 rows"),
        (CSV, ("--key", "id", "--target", "id"), "--target id: it is the key"),
        (CSV.replace(",y", ",x"), ("--target", "outcome"), "outcome has the one class 'x'"),
        (CSV.replace(",y", ",").replace(",x", ","), ("--target", "outcome"), "has no value"),
        (CSV, ("--target", "city"), "city has 3 classes ('A', 'B', 'C'); two are supported"),
        (CSV, ("--target", "city"), "--positive VALUE"),
        (CSV, ("--target", "age"), "age is a number with 40 values, and regression is not"),
        (CSV, ("--target", "outcome", "--positive", "z"), "--positive z: outcome has no such"),
        (
            CSV.replace("outcome", "group x"),
            ("--drop", "group x"),
            "Likely are city ('A', 'B', 'C'",
        ),
        (with_column("churn", "1", "0", "0"), (), "Likely are outcome ('x', 'y'); churn"),
        (CSV, ("--encoding", "nope"), "is no encoding that Python knows"),
        (CSV, ("--separator", "--"), "It is one character: --separator"),
        (CSV, ("--drop", "age", "--drop", "city"), "no column to learn from, beside id, outcome"),
        (CSV, ("--name", "My table"), "name: must be lower-case letters"),
    ],
)
def test_file_that_cannot_be_adopted_is_one_message(
    project: Project, tmp_path: Path, text: str, words: tuple[str, ...], named: str
) -> None:
    assert named in refused(project, write_lines(tmp_path, text), *words)


def test_binary_and_missing_files_are_named(project: Project, tmp_path: Path) -> None:
    assert "There is no file" in refused(project, tmp_path / "no.csv")
    for name, words in (("a.csv", "is no text"), ("a.parquet", "Parquet"), ("a.xlsx", "Excel")):
        (tmp_path / name).write_bytes(b"\x89PNG\0\0\0\0" * 20)
        assert words in refused(project, tmp_path / name)


def test_commands_of_the_tutorial_work(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    text = (ROOT / "docs" / "own-data.md").read_text("utf-8")
    section = text.partition("## Your own table in ten minutes")[2].partition("\n## ")[0]
    typed = re.findall(r"^```bash\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert len(typed) >= 4
    for line in "".join(typed).splitlines():
        program, *words = shlex.split(line)
        if program == "python":
            subprocess.run([sys.executable, *words], check=True)
            continue
        assert program == "kedro"
        outcome = project.cli(*words[1:], command=cli.cli.commands[words[0]])
        assert outcome.status == 0, outcome.output
    found = description(project)
    assert found["row"] == {"one": "tumour", "many": "tumours"}
    assert found["target"] == {"column": "target", "positive": "0", "negative": "1"}
    assert len(project.table("records").columns) == 31
    assert "Traceback" not in outcome.output


@pytest.mark.parametrize(
    ("encoding", "separator"), [("utf-8-sig", ","), ("utf-16", "\t"), ("cp1252", "|")]
)
def test_encoding_and_separator_are_found(
    project: Project, tmp_path: Path, encoding: str, separator: str
) -> None:
    file = tmp_path / "rows.csv"
    text = CSV.replace("city", "Straße").replace(",", separator)
    file.write_bytes(text.encode(encoding))
    assert adopt(project, file).status == 0
    assert list(description(project)["columns"]) == ["id", "age", "strasse", "outcome"]
    assert project.cli("--env", "lakehouse", "--pipelines", "processing").status == 0


@pytest.mark.slow
def test_two_thousand_columns(project: Project, tmp_path: Path) -> None:
    columns = {f"c {place}": range(place + 2, 62 + place) for place in range(2000)}
    frame = pd.DataFrame(columns | {"outcome": ["x", "y"] * 30})
    outcome = adopt(project, write_csv(tmp_path, frame))
    assert outcome.status == 0, outcome.output
    assert ".. and 1,941 more columns" in outcome.output
    found = configuration.load(conf_source=str(project.path / "conf")).parameters.table
    assert len(found.columns) == 2002


def test_one_class_against_the_rest(project: Project, tmp_path: Path) -> None:
    outcome = adopt(project, write_lines(tmp_path, CSV), "--target", "city", "--positive", "B")
    assert outcome.status == 0, outcome.output
    assert description(project)["target"] == {"column": "city", "positive": "B"}
    assert project.cli("--pipelines", "processing").status == 0
    assert set(project.table("records")["city"]) == {"B", "not B"}


def test_only_the_description_of_the_project_is_replaced_without_force(
    project: Project, tmp_path: Path
) -> None:
    file = write_lines(tmp_path, CSV)
    dry = adopt(project, file, "--dry-run")
    assert "positive: x, negative: y" in dry.output
    assert not list((project.path / "data" / "01_raw").glob("*.csv"))
    assert adopt(project, file).status == 0
    assert adopt(project, file).status == 0, "the same again"
    assert "--force" in refused(project, file, "--positive", "y")
    yml = project.path / "conf" / "base" / "table.yml"
    yml.write_text(yml.read_text("utf-8").replace("kind: category", "kind: text"), "utf-8")
    assert str(yml) in refused(project, file)
    other = write_lines(tmp_path, CSV + "40,60,A,x\n")
    assert adopt(project, other, "--force").status == 0
    (tmp_path / "else").mkdir()
    third = write_lines(tmp_path / "else", CSV + "41,61,A,x\n")
    assert "rows.csv is another file" in refused(project, third)
    assert adopt(project, third, "--force").status == 0
    raw = project.path / "data" / "01_raw" / "rows.csv"
    assert raw.read_bytes() == third.read_bytes()


def test_description_that_is_missing_or_damaged_is_written(
    project: Project, tmp_path: Path
) -> None:
    file = write_lines(tmp_path, CSV)
    yml = project.path / "conf" / "base" / "table.yml"
    yml.unlink()
    assert adopt(project, file).status == 0
    assert description(project)["key"] == "id"
    archive = tmp_path / "conf.zip"
    archive.write_bytes(b"")
    assert "There is no folder" in refused(project, file, "--conf-source", str(archive))
    assert "There is no folder" in refused(project, file, "--env", "nope")


def test_rows_without_an_id_get_one_that_every_engine_makes_alike(
    project: Project, tmp_path: Path
) -> None:
    frame = customers(60).drop(columns="Customer ID")
    outcome = adopt(project, write_csv(tmp_path, pd.concat([frame, frame.head(3), frame.head(1)])))
    assert outcome.status == 0, outcome.output
    assert "4 rows repeat another one" in outcome.output
    assert description(project)["columns"]["row_id"] == {"kind": "id", "row_hash": True}
    keys = []
    for env in ("base", "lakehouse"):
        assert project.cli("--env", env, "--pipelines", "processing").status == 0
        table = (
            project.table("records")
            if env == "base"
            else _delta(project.path / "data" / "warehouse" / "customers" / "records")
        )
        assert len(table) == 64
        keys.append(sorted(table["row_id"]))
    assert keys[0] == keys[1]
    assert sorted(key[32:] for key in keys[0] if len(key) > 32) == ["-2", "-2", "-2", "-3"]


def test_odd_names_are_safe_and_read_on_every_engine(project: Project, tmp_path: Path) -> None:
    names = ["Order", "a.b", "A B", "a_b", "возраст", "prediction", "2019", "Age", "age", "x`y"]
    values = pd.DataFrame({name: range(place, 40 + place) for place, name in enumerate(names)})
    values["outcome"] = [["x", "y"][row % 2] for row in range(40)]
    outcome = adopt(project, write_csv(tmp_path, values))
    assert outcome.status == 0, outcome.output
    made = [
        *("order_", "a_b", "a_b_2", "a_b_3", "column_5", "prediction_", "column_7"),
        *("age", "age_2", "x_y"),
    ]
    assert list(description(project)["columns"])[1:-1] == made
    for env in ("base", "lakehouse"):
        done = project.cli("--env", env, "--pipelines", "processing")
        assert done.status == 0, done.output
        table = (
            project.table("records")
            if env == "base"
            else _delta(project.path / "data" / "warehouse" / "customers" / "records")
        )
        sums = [20 * (2 * place + 39) for place in range(len(names))]
        assert table[made].sum().to_list() == sums


def test_warnings_name_column_and_remedy(project: Project, tmp_path: Path) -> None:
    frame = customers(400).rename(columns={"Tariff": "e-mail"})
    rare = pd.Series(["No"] * 397 + ["Yes"] * 3)
    frame = frame.assign(
        churned=rare,
        leak=(rare == "Yes").astype(int) * 5 + 1,
        constant="same",
        empty="",
        nearly=[""] * 395 + list("abcde"),
        account=[f"AC{row:04d}" for row in range(400)],
        when=[["2024-01-31", "31.01.2024", "01/31/2024"][row % 3] for row in range(400)],
        mixed=[["1", "2", "three"][row % 3] for row in range(400)],
        mostly=[str(row) if row % 50 else "?" for row in range(400)],
    )
    frame.loc[[0, 1], "churned"] = ""
    outcome = adopt(project, write_csv(tmp_path, frame))
    assert outcome.status == 0, outcome.output
    for words in (
        "leak alone separates the classes (ROC AUC 1.000)",
        "constant has the one value 'same'",
        "empty has no value in any row",
        "nearly is empty in 98.8% of the rows",
        "account is unique, too: a second key",
        "when has dates in several formats",
        "mixed mixes numbers with other values ('three', 33%)",
        "mostly has 8 values that are no numbers ('?'): missing",
        "e-mail seems to be personal data by its name",
        "churned: the class Yes has 0.75% of the rows",
        "churned is empty in 2 rows: processing rejects them",
    ):
        assert words in outcome.output
    columns = description(project)["columns"]
    assert columns["empty"] == {"kind": "text", "feature": False, "required": False}
    assert columns["constant_"]["feature"] is False
    assert columns["account"] == {"kind": "id", "feature": False}
    assert columns["when_"]["kind"] == "category"


def test_file_that_no_longer_fits_the_description_is_one_message(
    project: Project, tmp_path: Path
) -> None:
    assert adopt(project, write_csv(tmp_path, customers()), "--drop", "Tariff").status == 0
    raw = project.path / "data" / "01_raw" / "customers.csv"
    for changed, status, words in (
        (
            customers().drop(columns="Member"),
            1,
            "lacks the columns ['Member'] of the table",
        ),
        (customers().assign(Größe="tall"), 1, "The column Größe of the raw file"),
        (
            customers().assign(Since="soon"),
            1,
            "no dates as table.yml describes since, and 0 that are",
        ),
        (customers().assign(extra=1), 0, "does not describe, and that are ignored: Tariff, extra"),
        (None, 1, f"There is no raw file of the table customers at {raw}"),
    ):
        raw.unlink()
        if changed is not None:
            changed.to_csv(raw, index=False)
        outcome = project.cli("--pipelines", "processing")
        assert outcome.status == status, outcome.output
        output = " ".join(outcome.output.split())
        assert words in output
        assert outcome.output.count("Error:") == status
        assert "arvel" not in output.replace("marvel_kedro", "")
    for pipelines in ("__default__", "synthetic"):
        outcome = project.cli("--pipelines", pipelines)
        assert outcome.status == 1
        assert "customers" in outcome.output
        assert not raw.exists()


def test_adopted_file_is_known_by_the_real_wiki(project: Project, other_schema_path: Path) -> None:
    outcome = adopt(project, other_schema_path)
    assert outcome.status == 0, outcome.output
    found = description(project)
    assert (found["key"], found["row"]["one"]) == ("page_id", "page")
    assert found["target"] == {
        "column": "alive",
        "positive": "Deceased Characters",
        "negative": "Living Characters",
    }
    assert "processing rejects them" in outcome.output


def test_odd_names_and_classes_are_adopted_as_they_are(project: Project, tmp_path: Path) -> None:
    """A file named like a word of Python, columns whose names differ in case, numbers as texts."""
    frame = customers(60).rename(columns={"churned": "A B"}).assign(a_b=["1e5", "2b7"] * 30)
    frame["__index_level_0__"] = frame["place"] = range(60)
    file = write_csv(tmp_path, frame, "class.csv")
    outcome = adopt(project, file, "--target", "a_b", "--positive", "1e5")
    assert outcome.status == 0, outcome.output
    found = description(project)
    assert found["name"] == "class_table"
    target = found["columns"][found["target"]["column"]]
    assert target.get("source", found["target"]["column"]) == "a_b"
    assert "not describe" not in outcome.output
    assert (found["target"]["positive"], found["target"]["negative"]) == ("1e5", "2b7")
    assert not [column for column in found["columns"] if "index" in column]
    assert found["columns"]["place"] == {"kind": "id", "feature": False}, "it numbers the rows"
