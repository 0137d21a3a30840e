"""The two classes of the target, from the words of the source."""

from collections.abc import Collection

import narwhals as nw

from marvel_kedro.table.description import Target


def to_class(target: Target, markers: Collection[str]) -> nw.Expr:
    """Return the class of each value of the target; null where it is neither.

    A class or one of `words` may be written as a missing marker; any other marker is no class.
    """
    value = nw.col(target.column)
    words = target.words | {each: each for each in target.classes}
    found = [
        nw.when(value == word).then(nw.lit(each if each in target.classes else target.other))
        for word, each in words.items()
    ]
    if target.negative is None:
        is_filled = ~value.is_null() & ~value.is_in([*markers, ""])
        found.append(nw.when(is_filled).then(nw.lit(target.other)))
    return nw.coalesce(*found).alias(target.column)
