"""Periodic tasks of a worker."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)


async def repeat(seconds: float, function: Callable[..., Any], *arguments: Any) -> None:  # noqa: ANN401
    """Call a function every so often until the task is cancelled."""
    while True:
        await asyncio.sleep(seconds)
        try:
            function(*arguments)
        except Exception:  # a full disk must not stop counting and rotating
            logger.exception("A periodic task of the worker failed; it is repeated.")


def stop_orphan(parent: int) -> None:
    """Stop this worker if its parent has died: it would keep the address occupied."""
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
