"""Values of clients as names in pages, messages and labels."""

MAX_LETTERS = 80


def shown(value: object, letters: int = MAX_LETTERS) -> str:
    """Return a value as one short line: cut, and without control characters.

    Clients choose the values of columns and slices, and may send a million letters, line breaks or
    the codes that move a terminal's cursor.
    """
    text = str(value)
    text = text if len(text) <= letters else f"{text[: letters - 1]}\N{HORIZONTAL ELLIPSIS}"
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
