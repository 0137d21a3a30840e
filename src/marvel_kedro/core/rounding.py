"""Format shares and metrics so that rounding never turns a few into none or nearly all into all."""

import re

_FORM = re.compile(r"\.(\d+)([%fg])")
_NOISE = 1e-9  # of sums of floating-point numbers


def rounded(value: float, form: str) -> str:
    """Format a number; between 0 and 1, only what is exactly one of them reads as such.

    By `.1%`, 0.0001 is `<0.1%` and 0.9999 is `>99.9%`; by `.3f`, 0.9999 is `>0.999`.
    """
    text = format(value, form)
    if (found := _FORM.fullmatch(form)) and _NOISE < value < 1 - _NOISE:
        least = 10.0 ** -(int(found[1]) + (2 if found[2] == "%" else 0))
        if text == format(0.0, form):
            return f"<{least:{form}}"
        if text == format(1.0, form):
            return f">{1 - least:{form}}"
    return text
