"""Progress of long work: a bar in a terminal, a log line now and then elsewhere."""

import logging
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
_LINES = 10


def track(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Pass items on and show how far they are.

    Args:
        items: What is worked through.
        total: How many there are.
        what: What they are called.
    """
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        for number, item in enumerate(items, 1):
            yield item
            bar.advance(task)
            if not console.is_terminal and number % max(total // _LINES, 1) == 0:
                logger.info("%s: %d of %d", what, number, total)


def log_rounds(done: int, total: int) -> None:
    """Log the boosting rounds that are done, ten times in all."""
    if done % max(total // _LINES, 1) == 0:
        logger.info("Boosting: %d of %d trees", done, total)
