"""Describe the machine and the versions that a benchmark ran on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("kedro", "mlflow", "lightgbm", "scikit-learn", "pandas", "numpy")


def describe(*more: str) -> str:
    """Return the processor, its cores, the system and the versions, in two lines.

    Args:
        more: Packages whose versions matter here.
    """
    cpu = Path("/proc/cpuinfo")
    model = platform.processor() or platform.machine()
    if cpu.exists():
        names = [line for line in cpu.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    return (
        f"{model}, {os.cpu_count()} cores, {platform.platform()}\n"
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in (*PACKAGES, *more))
    )
