"""`marvel-kedro` and `python -m marvel_kedro`: Kedro's own main, for the packaged project."""

import sys
from pathlib import Path

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main() -> None:
    """Run a pipeline of the packaged project; the options are those of `kedro run`."""
    package_name = Path(__file__).parent.name
    configure_project(package_name)
    run = find_run_command(package_name)
    run(standalone_mode=not hasattr(sys, "ps1"))


if __name__ == "__main__":
    main()
