"""Numbers of examples for properties of which each example is slow."""

from typing import Any

from hypothesis import settings


def at_most(number: int, **options: Any) -> settings:
    """Limit the examples of a property; the profile may set fewer (tests/conftest.py).

    Args:
        number: Examples at most.
        options: Other settings of hypothesis.
    """
    profile = settings.default
    assert profile is not None
    return settings(max_examples=min(number, profile.max_examples), **options)
