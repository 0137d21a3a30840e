"""Monitoring's metrics on the page of the server's own, and invalid files of them."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exported_metrics import NOW, every_family, parse_text
from support.running_server import Store, describe, running, until

from marvel_kedro.core.atomic_files import AtomicFile
from marvel_kedro.monitoring.export import Exported, Family, Sample
from marvel_kedro.monitoring.prometheus_text import render
from marvel_kedro.serving.telemetry.external_metrics import ExternalMetrics

TEXT = render(every_family())
LINE = "marvel_monitoring_records 1\n"


def write(path: Path, text: str | bytes) -> None:
    with AtomicFile(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())


def test_page_has_the_metrics_of_a_valid_file_and_none_of_an_invalid_one(
    registered: Store, tmp_path: Path
) -> None:
    path = tmp_path / "reports" / "monitoring.prom"
    description = describe(tmp_path, monitoring_metrics=str(path))
    with running(registered.fetch(description), registered.uri) as server:

        def page() -> dict[str, float]:
            found = parse_text(server.ask("/metrics").text)
            assert any(name == "marvel_workers" for name, _ in found)
            return {name: value for (name, _), value in found.items() if "monitoring" in name}

        assert page() == {}
        write(path, TEXT)
        assert len(page()) > 10
        write(path, TEXT.replace("marvel_monitoring_run_timestamp_seconds", "marvel_workers"))
        assert page() == {}
        until(lambda: "monitoring.prom is left out of /metrics: line 1 is not" in server.stderr, 5)
        write(path, LINE)
        assert page() == {"marvel_monitoring_records": 1}
        path.unlink()
        assert page() == {}
        server.invoke()
        assert server.stderr.count("left out") == 1


@given(
    labels=st.tuples(st.text(), st.text()),
    value=st.floats(),
    meaning=st.text(min_size=1),
)
def test_every_exported_text_is_valid(
    tmp_path_factory: pytest.TempPathFactory, labels: tuple[str, str], value: float, meaning: str
) -> None:
    family = Family("marvel_monitoring_any", meaning, ("one", "other"))
    text = render(Exported(NOW, (Sample(family, labels, value),)))
    path = tmp_path_factory.getbasetemp() / "any.prom"
    path.write_bytes(text.encode())
    assert ExternalMetrics(path).read() == text.encode()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (LINE[:-1], "its last line has no end"),
        ("marvel_requests_total 5\n", "line 1"),
        (f"{LINE}\n", "line 2"),
        (f"{LINE}<html>\n", "line 2"),
        ('marvel_monitoring_records{a="b" 1\n', "line 1"),
        ('marvel_monitoring_records{a="b",} x\n', "line 1"),
        ('marvel_monitoring_records{a="b\\x"} 1\n', "line 1"),
        ("marvel_monitoring_records 1 1768262400000\n", "line 1"),
        (b'marvel_monitoring_records{a="\xff"} 1\n', "not UTF-8"),
        (LINE * 40_000, "1,120,000 bytes"),
    ],
)
def test_invalid_file_is_left_out_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | bytes, problem: str
) -> None:
    path = tmp_path / "monitoring.prom"
    write(path, text)
    found = ExternalMetrics(path)
    assert [found.read(), found.read()] == [b"", b""]
    (record,) = caplog.records
    assert problem in record.getMessage()
    write(path, TEXT)
    assert found.read() == TEXT.encode()


def test_missing_file_is_empty_and_unreadable_one_warns_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert ExternalMetrics(None).read() == b""
    assert ExternalMetrics(tmp_path / "none").read() == b""
    assert not caplog.records
    found = ExternalMetrics(tmp_path)
    assert [found.read(), found.read()] == [b"", b""]
    assert len(caplog.records) == 1


def test_unchanged_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "monitoring.prom"
    write(path, LINE * 30_000)
    found = ExternalMetrics(path)
    assert len(found.read()) == 28 * 30_000
    stamp = path.stat()
    path.write_bytes(b"x" * stamp.st_size)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert found.read().startswith(b"marvel")
