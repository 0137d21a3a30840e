"""Requirements of a session, and the messages if they are not met."""

import os
from pathlib import Path

import pytest

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks import session


def a_java(folder: Path, version: str) -> Path:
    java = folder / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2019' >&2\n")
    java.chmod(0o755)
    return folder


def test_spark_without_java_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ProjectError, match=rf"none in JAVA_HOME={tmp_path}.*Install Java 17 or 21"):
        session.start("spark", tmp_path)
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ProjectError, match=r"none in the PATH.*Sail needs no Java"):
        session.start("spark", tmp_path)


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_452", "25", "nonsense"])
def test_spark_refuses_an_unsupported_java(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    monkeypatch.setenv("JAVA_HOME", str(a_java(tmp_path, version)))
    with pytest.raises(ProjectError, match=r"needs Java 17 or 21; .*/bin/java is .*Sail needs"):
        session.start("spark", tmp_path)


def test_session_end_stops_sail_and_unsets_spark_remote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the next run in this process would use it as an external server."""
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    session.start("sail", tmp_path)
    first = os.environ["SPARK_REMOTE"]
    session.start("sail", tmp_path)  # the first was interrupted
    assert os.environ["SPARK_REMOTE"] != first
    session.end()
    session.end()
    assert "SPARK_REMOTE" not in os.environ
