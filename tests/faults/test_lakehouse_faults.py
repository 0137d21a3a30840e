"""Errors on lakehouse tables: one message, and the next run repairs."""

import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pandas as pd
import pytest
from deltalake import DeltaTable, write_deltalake
from kedro.framework.project import LOGGING
from pandas.testing import assert_frame_equal
from support.project import Outcome, Project, at_kill_points, clean_environment

from marvel_kedro.characters.synthetic import make_characters
from marvel_kedro.datasets.raw_csv import RawCSVDataset
from marvel_kedro.simulation.world import SyntheticOptions
from marvel_kedro.table.frames import digest

LAKEHOUSE = ("--env", "lakehouse", "--pipelines", "processing")
TABLES = ("source_rows", "records", "rejected_records", "train_set", "test_set")


def says(outcome: Outcome, *words: str) -> None:
    """Assert that a command ended in one message that contains the words, across lines."""
    print(outcome.output)
    assert outcome.status == 1, outcome.output
    assert "Traceback" not in outcome.output
    assert outcome.output.count("Error:") == 1
    text = " ".join(outcome.output.split())
    for word in words:
        assert word in text


def folder(project: Project, name: str) -> Path:
    return project.path / "data/warehouse/marvel_characters" / name


def rows(project: Project, name: str) -> pd.DataFrame:
    """Read a table as any reader would."""
    table = DeltaTable(folder(project, name)).to_pandas()
    return table.sort_values(list(table.columns), ignore_index=True)


def version(project: Project, name: str) -> int:
    return DeltaTable(folder(project, name)).version()


def make_raw(path: Path, seed: int = 1, **columns: Any) -> None:
    frames = make_characters(SyntheticOptions(rows=300, seed=seed))
    RawCSVDataset(filepath=str(path)).save(frame.assign(**columns) for frame in frames)


@pytest.fixture(scope="module")
def processed(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with tables, to copy."""
    project = Project(tmp_path_factory.mktemp("processed") / "project")
    shutil.copytree(template, project.path)
    make_raw(project.raw)
    outcome = project.cli(*LAKEHOUSE)
    assert outcome.status == 0, outcome.output
    return project


@pytest.fixture
def lake(processed: Project, tmp_path: Path) -> Project:
    """A project with a raw file and the tables of an earlier run."""
    shutil.copytree(processed.path, tmp_path / "lake")
    return Project(tmp_path / "lake")


@pytest.mark.parametrize("change", [{"alive": True}, {"mood": "good"}, {"origin": None}])
def test_table_with_another_schema_is_not_overwritten(
    lake: Project, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    """Sail 0.7.2 would drop one more column in silence, or fill it with 0 (`mergeSchema`)."""
    before = rows(lake, "records")
    by_hand = before.assign(**change) if all(change.values()) else before.drop(columns=[*change])
    write_deltalake(folder(lake, "records"), by_hand, mode="overwrite", schema_mode="overwrite")
    says(lake.cli(*LAKEHOUSE), "records", *change, "MARVEL_EVOLVE=records")
    assert version(lake, "records") == 1
    assert_frame_equal(rows(lake, "records"), by_hand)
    monkeypatch.setenv("MARVEL_EVOLVE", "records")
    assert lake.cli(*LAKEHOUSE).status == 0
    assert_frame_equal(rows(lake, "records")[before.columns], before)
    monkeypatch.delenv("MARVEL_EVOLVE")
    assert lake.cli(*LAKEHOUSE).status == 0


def test_rows_that_break_the_contract_are_rejected_on_load(lake: Project) -> None:
    broken = rows(lake, "records")
    broken.loc[[0, 1], "alive"] = "maybe"
    broken["page_id"] = broken["page_id"].where(broken.index != 2, broken["page_id"][3])
    write_deltalake(folder(lake, "records"), broken, mode="overwrite")
    says(
        lake.cli("--env", "lakehouse", "--from-nodes", "split_records"),
        "records",
        "alive breaks isin",
        "in 2 rows",
        "page_id is repeated in 1 rows",
    )
    assert lake.cli(*LAKEHOUSE).status == 0


@pytest.mark.parametrize("name", ["records", "train_set"])
def test_table_that_lost_a_file_is_made_again(lake: Project, name: str) -> None:
    for file in folder(lake, name).glob("*.parquet"):
        file.unlink()
    if name == "records":
        says(
            lake.cli("--env", "lakehouse", "--from-nodes", "split_records"),
            "A file of a table is gone",
        )
    outcome = lake.cli(*LAKEHOUSE)
    assert outcome.status == 0, outcome.output


@pytest.mark.parametrize("content", [b"{broken", b""])
def test_table_with_damaged_log_is_one_message(lake: Project, content: bytes) -> None:
    (log,) = folder(lake, "train_set").glob("_delta_log/*.json")
    log.write_bytes(content)
    says(lake.cli(*LAKEHOUSE), "train_set", "_delta_log", "move it away")
    folder(lake, "train_set").rename(lake.path / "away")
    assert lake.cli(*LAKEHOUSE).status == 0


def test_killed_first_save_leaves_no_table(lake: Project) -> None:
    """Files of rows, and no entry in the log."""
    (log,) = folder(lake, "train_set").glob("_delta_log/*.json")
    log.unlink()
    assert lake.cli(*LAKEHOUSE).status == 0
    assert len(rows(lake, "train_set")) + len(rows(lake, "test_set")) == 300


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\x89PNG\r\n\x1a\n\x00\xff", "is not UTF-8 text", id="picture"),
        pytest.param(b"just some words\nand more\n", "lacks the columns", id="prose"),
        pytest.param(b"PageID;Name;Universe\na;b;c\n", "separated by semicolons", id="semicolons"),
    ],
)
def test_raw_file_that_is_no_csv_table_is_one_message(
    project: Project, content: bytes, words: str
) -> None:
    project.raw.write_bytes(content)
    says(project.cli(*LAKEHOUSE), words)
    assert not list(project.path.rglob("*.parquet"))


def test_missing_raw_file_is_one_message(project: Project) -> None:
    says(project.cli(*LAKEHOUSE), "There is no raw file at", "--pipelines synth")


@pytest.mark.parametrize("number", ["more", "fewer"])
def test_ragged_rows_are_one_message(lake: Project, number: str) -> None:
    header, first, *others = lake.raw.read_text(encoding="utf-8").splitlines()
    ragged = f"{first},x" if number == "more" else "a,b"
    lake.raw.write_text("\n".join([header, *others, ragged]), encoding="utf-8")
    says(lake.cli(*LAKEHOUSE), "The raw file (raw_table) has rows with", "in quotes")
    assert version(lake, "source_rows") == 0


def test_byte_order_mark_is_skipped_and_replacement_character_is_text(lake: Project) -> None:
    text = lake.raw.read_text(encoding="utf-8").replace("Earth", "Earth\ufffd")
    lake.raw.write_text(text, encoding="utf-8-sig")
    assert lake.cli(*LAKEHOUSE).status == 0
    assert rows(lake, "records")["universe"].str.contains("\ufffd").any()


def test_file_that_is_not_utf8_is_one_message(lake: Project) -> None:
    text = lake.raw.read_text(encoding="utf-8")
    lake.raw.write_bytes(text.replace("Earth", "Ärth").encode("latin-1", "replace"))
    says(lake.cli(*LAKEHOUSE), "is not UTF-8 text")
    assert version(lake, "source_rows") == 0


def test_file_without_usable_rows_leaves_tables_unchanged(lake: Project) -> None:
    before = rows(lake, "records")
    make_raw(lake.raw, Alive="alive")
    says(lake.cli(*LAKEHOUSE), "no row that can be used", "'unknown alive': 300")
    assert_frame_equal(rows(lake, "records"), before)


def test_one_class_registers_no_model(lake: Project) -> None:
    make_raw(lake.raw, Alive="Alive")
    says(lake.cli("--env", "lakehouse"), "train_set", "Dead")
    assert not lake.client().search_registered_models()


def test_missing_catalog_is_one_message(lake: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARVEL_CATALOG", "mlops_dev")
    says(lake.cli(*LAKEHOUSE), "There is no schema marvel_characters in the catalog mlops_dev")


def start(project: Project, **environment: str) -> subprocess.Popen[str]:
    """Start the processing in its own process."""
    return subprocess.Popen(
        [sys.executable, "-m", "kedro", "run", *LAKEHOUSE],
        cwd=project.path,
        env=clean_environment() | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str], seconds: float = 200) -> Outcome:
    output, _ = process.communicate(timeout=seconds)
    return Outcome(process.returncode, output)


@pytest.mark.fault
def test_two_jobs_at_once_leave_whole_tables(lake: Project, tmp_path: Path) -> None:
    """Both write whole tables; one may fail with a message, and running it again is enough."""
    shutil.copytree(lake.path, tmp_path / "other")
    other = Project(tmp_path / "other")
    for project in (lake, other):
        make_raw(project.raw, seed=2)
    warehouse = str(lake.path / "data/warehouse")
    processes = [start(project, MARVEL_WAREHOUSE=warehouse) for project in (lake, other)]
    outcomes = [ended(process) for process in processes]
    for outcome in outcomes:
        if outcome.status:
            says(outcome, "Another job wrote the same table")
    assert any(outcome.status == 0 for outcome in outcomes), outcomes
    seen = {name: rows(lake, name) for name in TABLES}
    assert lake.cli(*LAKEHOUSE).status == 0
    for name in TABLES:
        assert_frame_equal(rows(lake, name), seen[name])


@pytest.mark.fault
def test_interrupt_ends_with_130(lake: Project) -> None:
    make_raw(lake.raw, seed=2)
    process = start(lake)
    assert process.stdout
    for line in process.stdout:
        if "select_records" in line:
            os.kill(process.pid, signal.SIGINT)
            break
    outcome = ended(process, 60)
    assert outcome.status == 130, outcome.output
    assert "Traceback" not in outcome.output
    assert outcome.output.rstrip().endswith("nothing is half-written.")
    assert lake.cli(*LAKEHOUSE).status == 0


def serve_sail() -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True, env=clean_environment()
    )
    assert process.stdout
    return process, f"sc://127.0.0.1:{int(process.stdout.readline())}"


SERVE = """
from pysail.spark import SparkConnectServer
server = SparkConnectServer("127.0.0.1", 0)
server.start(background=True)
print(server.listening_address[1], flush=True)
import time; time.sleep(600)
"""


@pytest.mark.fault
def test_server_that_dies_during_a_run_is_one_message(lake: Project) -> None:
    server, address = serve_sail()
    process = start(lake, SPARK_REMOTE=address)
    assert process.stdout
    for line in process.stdout:
        if "summarise_quality" in line:
            server.kill()
            break
    begun = time.monotonic()
    outcome = ended(process, 90)
    print(time.monotonic() - begun)
    says(outcome, "The Spark server is gone")
    assert lake.cli(*LAKEHOUSE).status == 0


def test_unreachable_spark_remote_is_one_message_without_token(
    lake: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        address = f"sc://127.0.0.1:{mute.getsockname()[1]}"
        monkeypatch.setenv("SPARK_REMOTE", f"{address}/;token=hush")
        outcome = lake.cli(*LAKEHOUSE)
        says(outcome, f"Nothing answers at SPARK_REMOTE, which is {address}", "refused", "unset")
        mute.listen()
        begun = time.monotonic()
        monkeypatch.setenv("SPARK_REMOTE", address)
        says(lake.cli(*LAKEHOUSE), f"Nothing answers at SPARK_REMOTE, which is {address}", "unset")
        assert time.monotonic() - begun < 15
    for wrong in ("sc://h:x/;token=hush", "127.0.0.1:15002/;token=hush", "sc:///;token=hush"):
        monkeypatch.setenv("SPARK_REMOTE", wrong)
        outcome = lake.cli(*LAKEHOUSE)
        says(outcome, "SPARK_REMOTE")
        assert "hush" not in outcome.output


@pytest.mark.fault
def test_spark_that_cannot_start_is_one_message(lake: Project, tmp_path: Path) -> None:
    """Spark's launcher prints an error and ends, as without Delta's jars and a network."""
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(
        '#!/bin/sh\n[ "$1" = -version ] && { echo \'openjdk version "17.0.1"\' >&2; exit; }\n'
        "echo 'unresolved dependency: io.delta' >&2; exit 1\n"
    )
    java.chmod(0o755)
    outcome = lake.kedro("run", *LAKEHOUSE, MARVEL_ENGINE="spark", JAVA_HOME=str(tmp_path))
    says(
        outcome,
        "Apache Spark could not be started",
        "download io.delta:delta-spark",
        "MARVEL_ENGINE",
    )
    assert version(lake, "records") == 0


class _Refuses(grpc.GenericRpcHandler):  # type: ignore[misc]
    def service(self, details: Any) -> Any:
        def refuse(_: Any, context: Any) -> None:
            token = dict(context.invocation_metadata()).get("authorization")
            context.abort(grpc.StatusCode.UNAUTHENTICATED, f"token expired: {token}")

        def refuse_stream(request: Any, context: Any) -> Any:
            refuse(request, context)
            yield

        if details.method.endswith(("ExecutePlan", "ReattachExecute")):
            return grpc.unary_stream_rpc_method_handler(refuse_stream)
        return grpc.unary_unary_rpc_method_handler(refuse)


def test_expired_token_is_one_message_without_the_token(
    lake: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((_Refuses(),))
    port = server.add_secure_port("localhost:0", grpc.local_server_credentials())
    server.start()
    monkeypatch.setenv("SPARK_REMOTE", f"sc://localhost:{port}/;token=hush-hush")
    # As in a notebook that has imported pyspark: its own log would contain the token.
    importlib.import_module("pyspark.sql.connect.logging")
    LOGGING.configure(LOGGING.data)
    outcome = lake.cli(*LAKEHOUSE)
    server.stop(None)
    says(outcome, "the token is wrong or has expired")
    assert "hush" not in outcome.output


def test_databricks_connect_in_place_of_pyspark_is_one_message(
    lake: Project, tmp_path: Path
) -> None:
    package = tmp_path / "packages" / "databricks" / "connect"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    path = os.pathsep.join([str(package.parents[1]), os.environ.get("PYTHONPATH", "")])
    outcome = lake.kedro("run", *LAKEHOUSE, PYTHONPATH=path)
    says(outcome, "pip uninstall databricks-connect")
    assert version(lake, "records") == 0


@pytest.mark.fault
@pytest.mark.slow
def test_kill_at_many_points_leaves_whole_tables(lake: Project, tmp_path: Path) -> None:
    """Readers see each table as before or as after; the next run completes them."""
    make_raw(lake.raw.with_name("next.csv"), seed=2)
    before = {name: digest(rows(lake, name)) for name in TABLES}
    seen: dict[str, set[str]] = {name: set() for name in TABLES}
    points = 0
    words = ("1", "3", "lakehouse", "processing")
    for message in at_kill_points(lake, tmp_path / "log", *words):
        if "undisturbed" in message:
            lake.raw.with_name("next.csv").replace(lake.raw)
        elif "point" in message:
            points += 1
            for name in TABLES:
                seen[name].add(digest(rows(lake, name)))
    assert points >= 4
    after = {name: digest(rows(lake, name)) for name in TABLES}
    assert before["records"] != after["records"]
    for name in TABLES:
        assert seen[name] <= {before[name], after[name]}, name


@pytest.mark.fault
def test_killed_in_the_middle_of_a_save(lake: Project) -> None:
    """Files of rows exist that the log does not list."""
    before = rows(lake, "source_rows")
    files = set(folder(lake, "source_rows").glob("*.parquet"))
    make_raw(lake.raw, seed=2)
    process = start(lake)
    while process.poll() is None and files == set(folder(lake, "source_rows").glob("*.parquet")):
        time.sleep(0.0005)
    process.kill()
    assert ended(process).status == -signal.SIGKILL
    assert_frame_equal(rows(lake, "source_rows"), before)
    assert lake.cli(*LAKEHOUSE).status == 0
    assert not rows(lake, "source_rows").equals(before)


@pytest.mark.fault
def test_full_and_read_only_disk_are_one_message_and_tables_stay(
    small_disk: Path, lake: Project
) -> None:
    before = rows(lake, "records")
    lake.path.joinpath("data/warehouse").rename(lake.path / "whole")
    lake.path.joinpath("data/warehouse").symlink_to(small_disk)
    shutil.copytree(lake.path / "whole", small_disk, dirs_exist_ok=True)
    make_raw(lake.raw, seed=2)
    size = shutil.disk_usage(small_disk).used // 1024
    assert mount("-o", f"remount,size={size + 24}k", str(small_disk))
    says(lake.cli(*LAKEHOUSE), "The disk of the tables is full", "run the same command again")
    assert mount("-o", "remount,ro,size=1g", str(small_disk))
    says(lake.cli(*LAKEHOUSE), "The disk of the tables is read-only")
    assert_frame_equal(rows(lake, "records"), before)
    assert mount("-o", "remount,rw", str(small_disk))
    assert lake.cli(*LAKEHOUSE).status == 0
    assert not rows(lake, "records").equals(before)


def mount(*words: str) -> bool:
    return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk, which only root can mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.name != "posix" or os.geteuid() != 0 or not mount("-t", "tmpfs", "tmpfs", str(disk)):
        pytest.skip("a small disk can be mounted only by root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)
