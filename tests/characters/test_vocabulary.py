import math

from marvel_kedro.characters import vocabulary


def test_ten_million_families_have_distinct_names() -> None:
    """A step that is coprime to the number of names visits all of them before it repeats one."""
    assert vocabulary.FAMILIES > 10_000_000
    assert math.gcd(vocabulary._NAME_STEP, vocabulary.FAMILIES) == 1
