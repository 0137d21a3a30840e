"""The traffic split: whole percentages by served entity, 100 in all.

The configuration has the shares to start with. A shift writes others to a tag of the registered
model, which every server of the endpoint reads at its next look at the registry.
`models/routing.py` routes a request by these shares.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.aliases import TRAFFIC_TAG

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
    all 0.

    Args:
        shares: Percentages by served entity.
        available: The entities that can answer, in the order of the configuration.

    Returns:
        A percentage for each available entity, 100 in all; empty if none is available.
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


def traffic_tag(endpoint: str) -> str:
    """Return the tag of the registered model that holds the shares of the last shift."""
    return TRAFFIC_TAG.format(endpoint)


def format_tag(shares: Mapping[str, int]) -> str:
    """Format shares as the value of the traffic tag."""
    return json.dumps(shares)


def parse_tag(text: str, served: Sequence[str]) -> dict[str, int]:
    """Parse and validate the value of the traffic tag.

    Raises:
        ValueError: It is not a JSON object of valid shares.
    """
    try:
        shares = {str(name): int(share) for name, share in json.loads(text).items()}
    except (ArithmeticError, AttributeError, RecursionError, TypeError) as error:
        raise ValueError(str(error)) from error
    validate_shares(shares, served)
    return shares
