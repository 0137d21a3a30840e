"""How often the default alerts are wrong, and which drift they see; Evidently's defaults beside it.

Characters of one made-up world. A model is trained on it once and held to its test rows, the
baseline. A seed is two windows (days) of other rows of that world, which no other seed has, with
all labels known; they go through counting, drift, estimates of quality and the rules of
conf/base/alerting that are about drift or quality.

False alarms are the windows of calm seeds that any alert covers, of whatever rule and column.
Power is the share of seeds with an open alert after the second window. What drift costs is the mean
of the calm windows' ROC AUC minus that of the drifted ones.

Evidently (DataDriftPreset as it comes) sees the second windows of the first seeds and the same
columns, except `name`, which is free text. It wants pandas below 3: --evidently names a Python that
has it, else an environment is made with uv.
"""

import argparse
import json
import subprocess
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import machine
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from main_job import HERE
from monitoring import make_environment
from scipy import stats

from marvel_kedro.characters.outcome import DriftOptions
from marvel_kedro.characters.synthetic import MOST_ROWS, SyntheticOptions, chunks
from marvel_kedro.model.fit import FitOptions, fit
from marvel_kedro.model.portable.predictor import NUMBER_COLUMNS, TEXT_COLUMNS, CharacterModel
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.aggregation.grouping import aggregate, aggregate_baseline
from marvel_kedro.monitoring.alerting import evaluation
from marvel_kedro.monitoring.alerting.rules import AlertingOptions, Table
from marvel_kedro.monitoring.metrics.drift import drift_metrics
from marvel_kedro.monitoring.metrics.performance_estimation import quality_estimates
from marvel_kedro.monitoring.metrics.profile import profile_metrics
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.table.cleaning import (
    ProcessingOptions,
    read_source,
    select_usable,
    split_characters,
)
from marvel_kedro.table.local_engine import relation

MAGNITUDES = {
    "covariate": (0.1, 0.25, 0.5, 1.0),
    "prior": (0.5, 1.0),
    "concept": (0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.5),
}
FALSE_ALARMS, POWER, COST = 0.05, 0.95, 0.02
"""The aims: false alarms at most, and power at least at what costs so much ROC AUC."""
WORLD, TRAINED_ROWS, OTHER_ROWS = 42, 96_000, 1
VERSION = "1"
WINDOWS = 2
"""The rules on labels ask for two in a row."""
AT_ONCE = 100_000
"""Records that are counted together."""
POOL = 200_000
"""Rows at least that windows are drawn from, none twice."""
START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class Found:
    """What came of the seeds of a scenario and magnitude.

    Attributes:
        areas: Realised ROC AUC by window.
        covered: How many windows any alert covers.
        fired: By rule the seeds with an open alert of it after the last window.
        columns: By column the seeds with an open alert about it.
        seen: Seeds with any open alert.
        for_evidently: The last windows of the first seeds.
    """

    areas: list[float] = field(default_factory=list)
    covered: int = 0
    fired: dict[str, int] = field(default_factory=dict)
    columns: dict[str, int] = field(default_factory=dict)
    seen: int = 0
    for_evidently: list[pd.DataFrame] = field(default_factory=list)


class Monitor:
    """A model, its baseline and the rules."""

    def __init__(self) -> None:
        raw = pd.concat(chunks(SyntheticOptions(rows=TRAINED_ROWS, seed=WORLD)), ignore_index=True)
        characters = select_usable(read_source(raw)).reset_index(drop=True)
        train, test, _ = split_characters(characters, ProcessingOptions())
        self.model = fit(train, FitOptions())
        self.options = _monitoring()
        self.rules = _alerting()
        self.reference = score(self.model, test)
        rows = pa.Table.from_pandas(
            self.reference, tables.MONITORING_BASELINE, preserve_index=False
        )
        self.baseline = aggregate_baseline(relation(rows), self.options)

    def watch(self, drift: DriftOptions, options: argparse.Namespace) -> Found:
        """Go through the seeds of a scenario."""
        found = Found()
        seeds_at_once = max(1, AT_ONCE // (WINDOWS * options.records))
        rows = other_rows(drift, options.seeds * WINDOWS * options.records)
        for first in range(0, options.seeds, seeds_at_once):
            seeds = min(seeds_at_once, options.seeds - first)
            size = WINDOWS * options.records
            records = score(self.model, rows.iloc[first * size : (first + seeds) * size])
            records["window"] = np.arange(len(records)) // options.records
            self._add(found, records, seeds)
            wanted = range(min(seeds, options.evidently_seeds - first))
            found.for_evidently += [
                records[records["window"] == WINDOWS * seed + WINDOWS - 1] for seed in wanted
            ]
        return found

    def _add(self, found: Found, records: pd.DataFrame, seeds: int) -> None:
        days = START + pd.to_timedelta(records["window"], unit="D")
        log = pa.Table.from_pandas(records.assign(request_time=days), _LOG, preserve_index=False)
        groups = aggregate(relation(log), self.options)
        metrics: dict[Table, pa.Table] = {
            "profile_metrics": profile_metrics(groups, self.baseline),
            "drift_metrics": drift_metrics(groups, self.baseline),
            "quality_estimates": quality_estimates(groups, self.baseline, self.options.confidence),
        }
        areas = metrics["quality_estimates"].filter(pc.field("metric") == "roc_auc")
        found.areas += areas["realised"].to_pylist()
        for seed in range(seeds):
            begin = START + seed * WINDOWS * DAY
            end = begin + WINDOWS * DAY
            own = {name: _between(table, begin, end) for name, table in metrics.items()}
            raised = evaluation.evaluate(own, self.rules, tables.ALERTS.empty_table(), end)
            found.covered += len(
                {
                    begin + number * DAY
                    for alert in raised.to_pylist()
                    for number in range(WINDOWS)
                    if alert["since"] <= begin + number * DAY < alert["window"]["end"]
                }
            )
            is_open = evaluation.firing(raised)
            found.seen += bool(is_open)
            for rule in {alert["rule"] for alert in is_open}:
                found.fired[rule] = found.fired.get(rule, 0) + 1
            for column in {alert["column_name"] for alert in is_open} - {tables.TABLE}:
                found.columns[column] = found.columns.get(column, 0) + 1


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--seeds", type=int, default=200)
    arguments.add_argument("--records", type=int, default=1000, help="in a window")
    arguments.add_argument("--scenarios", nargs="*", choices=MAGNITUDES, default=list(MAGNITUDES))
    arguments.add_argument("--magnitudes", nargs="*", type=float, help="instead of those built in")
    arguments.add_argument("--evidently", type=Path, help="a Python that has Evidently 0.7")
    arguments.add_argument(
        "--evidently-seeds", type=int, default=10, help="six seconds a window; 0: without it"
    )
    options = arguments.parse_args()
    if options.seeds * WINDOWS * options.records > MOST_ROWS:
        arguments.error(f"more than {MOST_ROWS:,} rows: fewer seeds or records")
    print(machine.describe("duckdb", "pyarrow", "scipy"), flush=True)
    monitor = Monitor()
    print(
        f"\n{options.seeds} seeds of {WINDOWS} windows of {options.records:,} records against "
        f"{len(monitor.reference):,}, {len(monitor.options.columns)} columns"
    )
    calm = monitor.watch(DriftOptions(), options)
    tell_calm(calm, options)
    found = {("none", 0.0): calm}
    tell_header(monitor.rules)
    for scenario in options.scenarios:
        for magnitude in options.magnitudes or MAGNITUDES[scenario]:
            drift = DriftOptions(scenario=scenario, magnitude=magnitude)
            drifted = found[scenario, magnitude] = monitor.watch(drift, options)
            tell(scenario, magnitude, drifted, calm, monitor.rules, options)
    print(
        "Prior and concept drift leave the inputs, so of these only labels can tell; the rules on "
        f"labels ask for {WINDOWS} windows in a row."
    )
    if options.evidently_seeds:
        beside_evidently(monitor.reference, found, options)


def tell_calm(calm: Found, options: argparse.Namespace) -> None:
    """Print the false alarms."""
    windows = options.seeds * WINDOWS
    print(
        f"calm: ROC AUC {np.mean(calm.areas):.4f}, standard deviation of a window "
        f"{np.std(calm.areas):.4f}; false alarms in {calm.covered} of {windows} "
        f"windows, all rules and columns together: {_share(calm.covered, windows)}, "
        + ("at most" if calm.covered <= FALSE_ALARMS * windows else "LOST: more than")
        + f" {FALSE_ALARMS:.0%}"
    )
    for what, seeds in sorted((calm.fired | calm.columns).items()):
        print(f"  {what}: {_share(seeds, options.seeds)} of seeds")


def tell_header(rules: AlertingOptions) -> None:
    """Print what stands in the columns of `tell`."""
    names = " ".join(f"{name:>17}" for name in rules.active)
    print(f"\n{'scenario':10}{'magnitude':>10}{'costs':>9}{'power':>8} {names}")


def tell(  # noqa: PLR0913, PLR0917 - what a line is made of
    scenario: str,
    magnitude: float,
    found: Found,
    calm: Found,
    rules: AlertingOptions,
    options: argparse.Namespace,
) -> None:
    """Print a line."""
    cost = float(np.mean(calm.areas) - np.mean(found.areas))
    power = found.seen / options.seeds
    by_rule = " ".join(f"{found.fired.get(name, 0) / options.seeds:17.3f}" for name in rules.active)
    lost = f"   LOST: less than {POWER}" if cost >= COST and power < POWER else ""
    print(f"{scenario:10}{magnitude:10.2f}{cost:9.4f}{power:8.3f} {by_rule}{lost}", flush=True)


def beside_evidently(
    reference: pd.DataFrame, found: dict[tuple[str, float], Found], options: argparse.Namespace
) -> None:
    """Let Evidently judge the same windows, and print how often it sees drift."""
    columns = [name for name in reference if name in _monitoring().columns and name != "name"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        python = options.evidently or make_environment(folder)
        windows = pd.concat(
            [
                window[columns].assign(window=f"{scenario} {magnitude} {seed}")
                for (scenario, magnitude), one in found.items()
                for seed, window in enumerate(one.for_evidently)
            ]
        )
        paths = [folder / "reference.parquet", folder / "windows.parquet"]
        for path, frame in zip(paths, (reference[columns], windows), strict=True):
            frame.to_parquet(path, index=False)
        command = [str(python), str(HERE / "evidently_drift_peer.py"), *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"\n{said['versions']}: {options.evidently_seeds} windows each, {len(columns)} columns; "
        "half of the columns or more drifted, any column drifted; columns by how often"
    )
    for (scenario, magnitude), one in found.items():
        drifted = [
            said["drifted"][f"{scenario} {magnitude} {seed}"]
            for seed in range(len(one.for_evidently))
        ]
        whole = sum(len(names) >= said["share"] * len(columns) for names in drifted)
        any_of_them = sum(bool(names) for names in drifted)
        how_often = pd.Series([name for names in drifted for name in names], dtype="str")
        by_column = ", ".join(
            f"{name} {times / len(drifted):.2f}"
            for name, times in how_often.value_counts().sort_index().items()
        )
        line = f"{scenario:10}{magnitude:10.2f}{whole / len(drifted):9.3f}"
        print(f"{line}{any_of_them / len(drifted):8.3f}   {by_column}")


def other_rows(drift: DriftOptions, number: int) -> pd.DataFrame:
    """Rows that are new to the model, in any order: neighbours are often variants of one name."""
    # A short pool would have whole families in each window, which a baseline of the world has not.
    rows = max(number, POOL)
    world = SyntheticOptions(rows=rows, seed=WORLD, row_seed=OTHER_ROWS, drift=drift)
    parts = [select_usable(read_source(raw)) for raw in chunks(world)]
    return pd.concat(parts).sample(number, random_state=np.random.default_rng(OTHER_ROWS))


def score(model: CharacterModel, rows: pd.DataFrame) -> pd.DataFrame:
    """The records of characters that the model has answered."""
    asked = rows[["page_id", *TEXT_COLUMNS, *NUMBER_COLUMNS, "alive"]].reset_index(drop=True)
    scored = model.predict(asked)
    return asked.assign(
        model_version=VERSION,
        prediction=scored["prediction"],
        probability=scored["probability"],
    )


_LOG = pa.schema([*tables.MONITORING_BASELINE, ("request_time", tables.TIME)])


def _between(table: pa.Table, begin: datetime, end: datetime) -> pa.Table:
    """The rows of the windows that start then."""
    start = pc.struct_field(table["window"], "start")
    inside = pc.and_(
        pc.greater_equal(start, pa.scalar(begin, tables.TIME)),
        pc.less(start, pa.scalar(end, tables.TIME)),
    )
    return table.filter(inside)


def _share(found: int, of: int) -> str:
    """A share with its Wilson interval."""
    interval = stats.binomtest(found, of).proportion_ci(0.95, method="wilson")
    return f"{found / of:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def _monitoring() -> MonitoringOptions:
    """The default options, without slices: no rule looks at them."""
    section = _section("monitoring")
    return MonitoringOptions.model_validate(section | {"now": START, "slices": ()})


def _alerting() -> AlertingOptions:
    """The default rules about drift and quality."""
    section = _section("alerting")
    about = ("drift_metrics", "quality_estimates")
    rules = {name: rule for name, rule in section["rules"].items() if rule["table"] in about}
    return AlertingOptions.model_validate(section | {"now": START, "rules": rules})


def _section(name: str) -> dict[str, Any]:
    path = HERE.parent / "conf" / "base" / name / "parameters.yml"
    section: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))[name]
    return section


if __name__ == "__main__":
    main()
