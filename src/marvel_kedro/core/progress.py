"""Log the progress of long work: one line every two seconds, none for short work."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
SECONDS = 2.0


def progress_logger(work: str) -> Callable[[int, int], None]:
    """Return a function of the number done and the total that logs at most every two seconds."""
    last = time.monotonic()

    def log(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS:
            last = time.monotonic()
            logger.info("          %s: %s of %s", work, f"{done:,}", f"{total:,}")

    return log


def track(items: Iterable[Item], total: int, work: str, each: int = 1) -> Iterator[Item]:
    """Yield items and log the progress, in units of which each item has `each`."""
    log = progress_logger(work)
    for number, item in enumerate(items, 1):
        yield item
        log(min(number * each, total), total)
