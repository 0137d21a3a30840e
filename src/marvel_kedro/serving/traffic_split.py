"""The traffic split: whole percentages by served entity, 100 in all.

The configuration has the shares to start with. A shift writes others to a tag of the registered
model, which every server of the endpoint reads at its next look at the registry. `Router` routes
each request by the shares in effect.
"""

import hashlib
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from marvel_kedro.core.errors import ProjectError

_ALL = 100


def validate_shares(shares: Mapping[str, int], served: Sequence[str]) -> None:
    """Check that every share belongs to a served entity and that they add up to 100.

    Raises:
        ValueError: It names the entity, or the sum.
    """
    if unknown := sorted(set(shares) - set(served)):
        raise ValueError(
            f"traffic goes to {', '.join(unknown)}, which is not served: {', '.join(served)}"
        )
    if any(not 0 <= share <= _ALL for share in shares.values()):
        raise ValueError("a share of the traffic is from 0 to 100")
    if sum(shares.values()) != _ALL:
        raise ValueError(f"traffic adds up to {sum(shares.values())}, not to 100")


def redistribute(shares: Mapping[str, int], available: Iterable[str]) -> dict[str, int]:
    """Distribute the traffic among the entities that can answer.

    The shares of the others go to them in proportion to their own, in equal parts if theirs are
    all 0. The result has the percentages of the available entities in their order, 100 in all; it
    is empty if none is available.
    """
    weights = {name: shares.get(name, 0) for name in available}
    return _apportion(weights if any(weights.values()) else dict.fromkeys(weights, 1), _ALL)


def shift_shares(shares: Mapping[str, int], entity: str, percent: int) -> dict[str, int]:
    """Give an entity a share; the others keep their proportions in the rest.

    Raises:
        ProjectError: The entity is not served, or there is no other one for the rest.
    """
    if entity not in shares:
        raise ProjectError(f"{entity} is not served: {', '.join(shares)} are.")
    others = [name for name in shares if name != entity]
    if percent != _ALL and not others:
        raise ProjectError(f"{entity} is the only served entity and has all of the traffic.")
    rest = _apportion(redistribute(shares, others), _ALL - percent)
    return {name: percent if name == entity else rest[name] for name in shares}


def _apportion(weights: Mapping[str, int], whole: int) -> dict[str, int]:
    """Divide `whole` in proportion to the weights by the method of largest remainders.

    Among equal remainders the first is rounded up.
    """
    total = sum(weights.values())
    parts = {name: whole * weight // total for name, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda name: -(whole * weights[name] % total))
    for name in by_remainder[: whole - sum(parts.values())]:
        parts[name] += 1
    return parts


def without_zeros(shares: Mapping[str, int]) -> dict[str, int]:
    """Return the positive shares: the same traffic is written with and without zeros."""
    return {name: share for name, share in shares.items() if share}


def format_shares(shares: Mapping[str, int]) -> str:
    """Format shares for messages, such as `champion 90 %, challenger 10 %`."""
    return ", ".join(f"{name} {share} %" for name, share in shares.items()) or "none"


@dataclass(frozen=True)
class Router:
    """Distributes requests among the served entities that can answer.

    Attributes:
        shares: The percentages of `names`, 100 in all; empty if none can answer.
    """

    endpoint: str
    names: Sequence[str]
    shares: Sequence[int]

    def choose(self, client_request_id: str | None) -> str | None:
        """Choose the entity that answers a request; None if none can.

        The same `client_request_id` is routed to the same entity while the shares stay the same.
        When they change, a client moves only to an entity whose share has grown by a greater
        factor than that of its previous one: if one share grows and the others keep their
        proportions, clients move only to that entity, and no more than its share grew by. The
        method is weighted rendezvous hashing: each entity draws a number for the client,
        exponentially distributed with its share as the rate, and the least number wins.
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
