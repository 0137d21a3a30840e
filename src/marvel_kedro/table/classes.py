"""The two classes of the target, from the words of the source."""

import narwhals as nw

from marvel_kedro.table.description import Target


def to_class(target: Target) -> nw.Expr:
    """Return the class of each value of the target; null where it is neither."""
    value = nw.col(target.column)
    word = nw.coalesce(
        *(nw.when(value == text).then(nw.lit(each)) for text, each in target.words.items()), value
    )
    if target.negative is None:
        other = nw.when(~word.is_null()).then(nw.lit(target.other))
        found = nw.coalesce(nw.when(word == target.positive).then(word), other)
    else:
        found = nw.when(word.is_in([*target.classes])).then(word)
    return found.alias(target.column)
