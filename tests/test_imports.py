"""Which part of the project may import which: the contracts are in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

from support.project import ROOT


def test_imports_go_one_way() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout
