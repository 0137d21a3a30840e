"""Who answers a request."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Router:
    """Shares requests out among those who can answer.

    Attributes:
        endpoint: Name of the endpoint.
        entities: Who can answer, in the order of the description.
        shares: Their percentages, 100 in all; nothing if nobody can answer.
    """

    endpoint: str
    entities: Sequence[Any]
    shares: Sequence[int]

    def choose(self, client_request_id: str | None) -> Any | None:  # noqa: ANN401 - an entity
        """Choose who answers.

        The same `client_request_id` comes to the same entity as long as shares stay; when a share
        grows, only those move that it grew by.

        Returns:
            An entity; None if nobody can answer.
        """
        point = self._point(client_request_id) * 100
        for entity, share in zip(self.entities, self.shares, strict=True):
            point -= share
            if point < 0:
                return entity
        return None

    def _point(self, client_request_id: str | None) -> float:
        """From 0 up to 1."""
        if client_request_id is None:
            return random.random()  # noqa: S311 - no secret
        words = f"{self.endpoint}/{client_request_id}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(words, digest_size=6).digest()) / 2**48
