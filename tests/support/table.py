"""The description of the table that the tests work on."""

import yaml

from marvel_kedro.table.description import TableSpec

from .project import ROOT

TABLE = TableSpec.model_validate(
    yaml.safe_load((ROOT / "conf" / "base" / "table.yml").read_text())["table"]
)
TEXT_COLUMNS = tuple(name for name, column in TABLE.inputs.items() if not column.is_number)
NUMBER_COLUMNS = tuple(name for name, column in TABLE.inputs.items() if column.is_number)
