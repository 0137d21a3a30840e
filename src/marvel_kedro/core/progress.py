"""Progress of long work: a line every two seconds, so that short work stays quiet."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
SECONDS = 2.0


def report(what: str) -> Callable[[int, int], None]:
    """Make a function that logs how far the work is, at most every two seconds.

    Args:
        what: What the work is, with the unit that is counted.

    Returns:
        A function of what is done and the total.
    """
    last = time.monotonic()

    def log(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS:
            last = time.monotonic()
            logger.info("          %s: %s of %s", what, f"{done:,}", f"{total:,}")

    return log


def track(items: Iterable[Item], total: int, what: str, each: int = 1) -> Iterator[Item]:
    """Pass items on and report how far they are.

    Args:
        items: What is worked through.
        total: How many units there are.
        what: What the units are called.
        each: How many units an item has.
    """
    log = report(what)
    for number, item in enumerate(items, 1):
        yield item
        log(min(number * each, total), total)
