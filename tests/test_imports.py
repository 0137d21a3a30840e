"""Imports follow the contracts in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

from support.project import ROOT


def test_imports_follow_the_contracts() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


def test_modules_of_a_deployment_to_databricks_need_no_package_of_the_extra_server() -> None:
    code = (
        "import sys\n"
        "for name in ('deltalake', 'duckdb', 'httptools', 'orjson', 'uvicorn'):\n"
        "    sys.modules[name] = None\n"
        "import marvel_kedro.cli.commands.deploy\n"
        "from marvel_kedro.databricks import workspace\n"
        "from marvel_kedro.databricks.endpoint import deployment, spec\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
