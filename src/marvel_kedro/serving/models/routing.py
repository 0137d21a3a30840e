"""Request routing: the served entity that answers a request."""

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Router:
    """Distributes requests among the served entities that can answer.

    Attributes:
        endpoint: Name of the endpoint.
        names: Served entities that can answer.
        shares: Their percentages, 100 in all; empty if none can answer.
    """

    endpoint: str
    names: Sequence[str]
    shares: Sequence[int]

    def choose(self, client_request_id: str | None) -> str | None:
        """Choose the entity that answers a request.

        The same `client_request_id` is routed to the same entity while the shares stay the same.
        When they change, a client moves only to an entity whose share has grown by a greater
        factor than that of its previous one: if one share grows and the others keep their
        proportions, clients move only to that entity, and no more than its share grew by. The
        method is weighted rendezvous hashing: each entity draws a number for the client,
        exponentially distributed with its share as the rate, and the least number wins.

        Returns:
            The name of an entity; None if none can answer.
        """
        if len(self.names) <= 1:
            return self.names[0] if self.names else None
        if client_request_id is None:
            return random.choices(self.names, self.shares)[0]  # noqa: S311 - no secret
        prefix = f"{self.endpoint}/{client_request_id}/".encode("utf-8", "surrogatepass")
        draws = (
            (_exponential(prefix + name.encode()) / share, name)
            for name, share in zip(self.names, self.shares, strict=True)
            if share
        )
        return min(draws, default=(0.0, None))[1]


def _exponential(key: bytes) -> float:
    """Return a number that depends only on the key, exponentially distributed with rate 1."""
    drawn = int.from_bytes(hashlib.blake2b(key, digest_size=6).digest())
    return -math.log((drawn + 0.5) / 2**48)
