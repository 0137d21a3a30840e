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
