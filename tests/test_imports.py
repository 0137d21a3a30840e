"""Imports follow the contracts in pyproject.toml."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.churn import CHURN, customers
from support.project import ROOT, Project, clean_environment


def test_imports_follow_the_contracts() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


def test_only_the_description_names_what_is_of_characters() -> None:
    source = ROOT / "src" / "marvel_kedro"
    files = [path for path in source.rglob("*.py") if source / "characters" not in path.parents]
    assert files
    assert not [path for path in files if "marvel_kedro.characters" in path.read_text("utf-8")]


@pytest.mark.slow
def test_project_of_another_table_does_without_characters(project: Project) -> None:
    """Deleting the package and its two keys leaves a project that imports and runs."""
    shutil.rmtree(project.path / "src" / "marvel_kedro" / "characters")
    described = yaml.safe_dump({"table": CHURN.model_dump(mode="json", exclude_defaults=True)})
    (project.path / "conf" / "base" / "table.yml").write_text(described)
    sources = {name: source for source, name in CHURN.sources.items()}
    customers(50).rename(columns=sources).to_csv(project.raw.with_name(CHURN.file), index=False)
    code = (
        "import importlib, pkgutil, sys, marvel_kedro; "
        f"assert marvel_kedro.__file__.startswith({str(project.path)!r}), marvel_kedro.__file__; "
        "[importlib.import_module(module.name) for module in "
        "pkgutil.walk_packages(marvel_kedro.__path__, 'marvel_kedro.') "
        "if not module.name.endswith('__main__')]; "
        "from kedro.framework.cli.cli import main; "
        "sys.argv[1:] = ['run', '--pipelines', 'processing']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.path,
        env=clean_environment() | {"PYTHONPATH": str(project.path / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(project.table("records")) == 50
