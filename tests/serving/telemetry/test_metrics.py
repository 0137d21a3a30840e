"""Metrics: every process reports the counts of all processes."""

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.running_server import RECORD, Server, Store, describe, running, until

from marvel_kedro.serving.telemetry import metrics


def samples(server: Server) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = server.ask("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == metrics.CONTENT_TYPE
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_counts_are_exact_in_every_process(registered: Store, tmp_path: Path) -> None:
    store = registered.copy_to(tmp_path / "store")
    store.point("challenger", "2")
    description = describe(tmp_path, workers=2, traffic={"champion": 60, "challenger": 40})
    with running(description, store.uri) as server:
        until(
            lambda: all(server.serves() == {"champion": "1", "challenger": "2"} for _ in range(9))
        )
        answers = [server.invoke([RECORD] * (n % 3), client_request_id=f"{n}") for n in range(150)]
        answers += [server.ask("/invocations", "POST", data=b"{", headers=JSON) for _ in range(20)]
        answers += [server.ask("/invocations", "POST", data=b"{}") for _ in range(10)]
        answers += [server.ask("/invocations") for _ in range(5)]
        codes: Counter[tuple[str, str]] = Counter()
        records: Counter[str] = Counter()
        alive: Counter[str] = Counter()
        for answer in answers:
            entity = answer.headers.get("served-model-name", "")
            codes[entity, str(answer.status_code)] += 1
            predictions = answer.json().get("predictions", [])
            records[entity] += len(predictions)
            alive[entity] += sum(row["prediction"] == "Alive" for row in predictions)
        versions = {"champion": "1", "challenger": "2", "": ""}
        expected: dict[Any, float] = {}
        for (entity, code), number in codes.items():
            labels = {"served_entity": entity, "model_version": versions[entity]}
            expected["marvel_requests_total", _key(labels | {"code": code})] = number
            counted = ("marvel_request_duration_seconds_count", _key(labels))
            expected[counted] = expected.get(counted, 0) + number
            expected["marvel_request_duration_seconds_bucket", _key(labels | {"le": "+Inf"})] = (
                expected[counted]
            )
        for entity in ("champion", "challenger"):
            key = _key({"served_entity": entity, "model_version": versions[entity]})
            expected["marvel_records_total", key] = records[entity]
            expected["marvel_predicted_positive_total", key] = alive[entity]
            expected["marvel_traffic_percent", _key({"served_entity": entity})] = (
                description.endpoint.traffic[entity]
            )
        assert {code for _, code in codes} == {"200", "400", "415", "405"}
        until(lambda: expected.items() <= samples(server).items(), 10)
        until(lambda: server.metric("marvel_inference_log_rows_total") == len(answers), 20)
        for _ in range(20):  # both processes answer, with the same counts
            found = samples(server)
            assert expected.items() <= found.items()
            assert found["marvel_workers", ()] == 2
            assert found["marvel_requests_in_progress", ()] == 0
            assert found["marvel_inference_log_rows_total", ()] == len(answers)
            total = sum(
                value for (name, _), value in found.items() if name == "marvel_requests_total"
            )
            assert total == len(answers)
        until(lambda: len(logged(server)) == len(answers), 10)  # lines are buffered
        page = {"path": "/metrics", "code": "200"}
        before = samples(server)["marvel_page_requests_total", _key(page)]
        assert samples(server)["marvel_page_requests_total", _key(page)] == before + 1
        assert '"/metrics"' not in server.stdout


def logged(server: Server) -> set[str]:
    """Return the ids of logged invocations; the last line may be incomplete."""
    whole = [line for line in server.stdout.splitlines(keepends=True) if line[-1] == "\n"]
    return {json.loads(line)["request_id"] for line in whole if "/invocations" in line}


JSON = {"Content-Type": "application/json"}


def _key(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


def test_names_follow_the_conventions_of_prometheus(served: Server) -> None:
    served.invoke()
    until(lambda: served.metric("marvel_requests_total"), 10)
    families = list(text_string_to_metric_families(served.ask("/metrics").text))
    assert len(families) >= 12
    for family in families:
        assert family.documentation, family.name
        assert family.name.startswith("marvel_")
        assert not family.name.endswith(("_milliseconds", "_ms"))
    if not shutil.which("promtool"):
        pytest.skip("promtool is not here: apt-get install prometheus")
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=served.ask("/metrics").text, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_losses_are_counted_from_zero(served: Server) -> None:
    """Else the first loss is no increase, and no alert fires."""
    found = samples(served)
    for reason in ("disk_full", "spool_full", "segment_lost", "io"):
        assert found["marvel_inference_log_dropped_total", _key({"reason": reason})] == 0
