"""How much a worker takes upon itself at once."""

from dataclasses import dataclass
from http import HTTPStatus

from marvel_kedro.server.description import Limits
from marvel_kedro.server.refusal import Refusal


@dataclass(slots=True)
class Share:
    """What a request has of it.

    Attributes:
        held: Bytes of its body, if that is a large one.
    """

    held: int = 0


class Capacity:
    """What is held by the requests of a worker, and whether there is room for more."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    def check(self, requests: int) -> None:
        """Whether so many requests at once are not too many.

        Raises:
            Refusal: 429.
        """
        if requests > self._limits.concurrency:
            raise self._busy(f"More than {self._limits.concurrency} requests at once.")

    def hold(self, share: Share, length: int) -> None:
        """Count the bytes of a large body, before they are there as far as their number is said.

        Args:
            share: What its request has so far.
            length: Bytes of the body; of one that comes in chunks those up to now.

        Raises:
            Refusal: 429; nothing more is held then.
        """
        more = max(0, length - share.held)
        if self._held + more > self._limits.held_bytes:
            raise self._busy(
                f"Large bodies have more than {self._limits.held_bytes:,} bytes at once."
            )
        self._held += more
        share.held += more

    def let_go(self, share: Share) -> None:
        """Give back what a request has held, however it has ended."""
        self._held -= share.held
        share.held = 0

    def _busy(self, message: str) -> Refusal:
        return Refusal(
            HTTPStatus.TOO_MANY_REQUESTS,
            "REQUEST_LIMIT_EXCEEDED",
            f"{message} Come again later.",
            ((b"retry-after", str(self._limits.retry_after).encode()),),
        )
