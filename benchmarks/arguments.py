"""Command-line arguments that all benchmarks share."""

import argparse
from typing import Any


def parse(parser: argparse.ArgumentParser, **small: Any) -> argparse.Namespace:  # noqa: ANN401
    """Parse the command line, with an option `--small` added.

    Args:
        parser: The parser with the benchmark's own options.
        small: Values of options for the smallest size, which `--small` sets. Options that are
            given on the command line win.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--small",
        action="store_true",
        help="the smallest size, to check that the benchmark runs; its figures mean nothing",
    )
    if parser.parse_known_args()[0].small:
        parser.set_defaults(**small)
    return parser.parse_args()
