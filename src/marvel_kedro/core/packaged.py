"""Locate the files that are packaged with the wheel."""

from pathlib import Path

import marvel_kedro


def conf_source() -> Path:
    """Return the configuration folder of the wheel, or that of the checkout."""
    package = Path(marvel_kedro.__file__).parent
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parents[1] / "conf"
