"""The description of the table that the benchmarks work on."""

from pathlib import Path

import yaml

from marvel_kedro.table.description import TableSpec

TABLE = TableSpec.model_validate(
    yaml.safe_load((Path(__file__).parents[1] / "conf" / "base" / "table.yml").read_text())["table"]
)
