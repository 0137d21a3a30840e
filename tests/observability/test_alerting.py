"""Every alert has a test case for promtool and a receiver, checked by amtool."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from observability.test_queries import FOLDER, RULES, rules
from support.project import ROOT

CONFIG = FOLDER / "alertmanager/alertmanager.yml"


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def routes(severity: str) -> set[str]:
    """Return the receivers of a severity's alerts, by Alertmanager's own routing."""
    found = set()
    for name, alert in alerts().items():
        if alert["labels"]["severity"] != severity:
            continue
        done = subprocess.run(
            ["amtool", "config", "routes", "test", f"--config.file={CONFIG}",
             f"alertname={name}", f"severity={severity}"],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        found |= set(done.stdout.strip().split(","))
    return found


needs_amtool = pytest.mark.skipif(
    shutil.which("amtool") is None and "CI" not in os.environ, reason="amtool is not installed"
)


@needs_amtool
def test_amtool_accepts_the_configuration() -> None:
    done = subprocess.run(
        ["amtool", "check-config", str(CONFIG)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@needs_amtool
@pytest.mark.parametrize(("severity", "receiver"), [("critical", "on_call"), ("warning", "team")])
def test_severity_decides_the_receiver(severity: str, receiver: str) -> None:
    assert routes(severity) == {receiver}


def test_matchers_name_existing_alerts() -> None:
    """A renamed alert would no longer be inhibited or grouped."""
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    matchers = [matcher for route in config["route"]["routes"] for matcher in route["matchers"]]
    for rule in config["inhibit_rules"]:
        matchers += rule["source_matchers"] + rule["target_matchers"]
    named = [one.partition("=")[2].strip('~"') for one in matchers if one.startswith("alertname")]
    assert len(named) >= 9
    for pattern in named:
        for alternative in pattern.split("|"):
            assert any(re.fullmatch(alternative, name) for name in alerts()), alternative


def test_matchers_name_existing_monitoring_rules() -> None:
    text = (ROOT / "conf/base/alerting/parameters.yml").read_text("utf-8")
    named = set(yaml.safe_load(text)["alerting"]["rules"])
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    matchers = [one for rule in config["inhibit_rules"] for one in rule["source_matchers"]]
    patterns = [one.partition("=")[2].strip('~"') for one in matchers if one.startswith("rule")]
    assert len(patterns) == 3
    for pattern in patterns:
        assert any(re.fullmatch(pattern, name) for name in named), pattern


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_every_alert_has_a_case_that_fires_and_one_that_does_not(path: Path) -> None:
    tests = yaml.safe_load((path.parents[1] / f"{path.stem}_test.yml").read_text("utf-8"))["tests"]
    fires: set[str] = set()
    calm: set[str] = set()
    for test in tests:
        for case in test.get("alert_rule_test", ()):
            (fires if case.get("exp_alerts") else calm).add(case["alertname"])
    named = {
        rule["alert"]
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert fires == named
    assert calm >= named


def test_pipelines_of_the_collector_are_made_of_what_it_has() -> None:
    config = yaml.safe_load((FOLDER / "opentelemetry/collector.yml").read_text("utf-8"))
    used: dict[str, set[str]] = {kind: set() for kind in ("receivers", "processors", "exporters")}
    for pipeline in config["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            used[kind] |= set(names)
    assert used == {kind: set(config[kind]) for kind in used}
