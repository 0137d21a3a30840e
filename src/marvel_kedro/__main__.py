"""`marvel-kedro` and `python -m marvel_kedro`: the commands of the packaged project."""

import os
import sys

from marvel_kedro.core.packaged import conf_source


def main() -> None:
    """Run a command of the project, such as `serve`; without one, `kedro run`."""
    # Kedro sets up logging when it is imported.
    os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(conf_source() / "logging.yml"))
    from kedro.framework.project import configure_project  # noqa: PLC0415 - after that

    from marvel_kedro.cli import cli  # noqa: PLC0415

    configure_project("marvel_kedro")
    command = cli if cli.commands.keys() & sys.argv[1:2] else cli.commands["run"]
    command(standalone_mode=not hasattr(sys, "ps1"))


if __name__ == "__main__":
    main()
