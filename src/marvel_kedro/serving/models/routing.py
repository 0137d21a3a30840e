"""Who answers a request."""

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Router:
    """Shares requests out among those who can answer.

    Attributes:
        endpoint: Name of the endpoint.
        names: Served entities that can answer.
        shares: Their percentages, 100 in all; nothing if nobody can answer.
    """

    endpoint: str
    names: Sequence[str]
    shares: Sequence[int]

    def choose(self, client_request_id: str | None) -> str | None:
        """Choose who answers.

        The same `client_request_id` comes to the same entity as long as shares stay. When they
        change, a client moves only to an entity whose share has grown by a greater factor than that
        of the one it had: where one share grows and the others keep their proportions, only to that
        one, and no more clients than it grew by. (Weighted rendezvous hashing: each entity draws a
        lot for the client, exponential with its share as the rate, and the least one wins.)

        Returns:
            The name of an entity; None if nobody can answer.
        """
        if len(self.names) <= 1:
            return self.names[0] if self.names else None
        if client_request_id is None:
            return random.choices(self.names, self.shares)[0]  # noqa: S311 - no secret
        begin = f"{self.endpoint}/{client_request_id}/".encode("utf-8", "surrogatepass")
        lots = (
            (_exponential(begin + name.encode()) / share, name)
            for name, share in zip(self.names, self.shares, strict=True)
            if share
        )
        return min(lots, default=(0.0, None))[1]


def _exponential(words: bytes) -> float:
    """The same number for the same words, distributed with the rate 1."""
    drawn = int.from_bytes(hashlib.blake2b(words, digest_size=6).digest())
    return -math.log((drawn + 0.5) / 2**48)
