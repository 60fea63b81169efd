"""Numbers as people read them: as many digits as their error, or their size, deserves."""

from __future__ import annotations

import math
import re

Plain = bool | int | float | str | None
"""A value that JSON, and a cell of a table, can hold."""

ROUNDING = 1e-12
"""Errors and differences below this fraction of the values are rounding."""

SMALLEST = 1e-15
"""A value and an error below this are what rounding leaves of zero: sums of numbers near 1 have such remainders."""


def number(value: Plain, digits: int = 4) -> str:
    """`value` with `digits` significant digits; whole numbers in full, nothing for None, other things as text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f")
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{max(digits - 2, 1)}e}".replace("e-0", "e-").replace("e+0", "e")


def with_error(value: float | None, error: float | None) -> str:
    """`value ± error`, both to the error's second digit, as in `0.00213 ± 0.00041`."""
    if value is None or error is None or not math.isfinite(value):
        return number(value)
    if max(abs(value), error) < SMALLEST:
        return "0"
    if not ROUNDING * abs(value) < error < math.inf:
        return number(value)
    decimals = 1 - math.floor(math.log10(error))
    if decimals <= 0:
        return f"{value:.0f} ± {error:.0f}"
    if decimals > 6 and max(abs(value), error) < 1e-3:
        exponent = math.floor(math.log10(max(abs(value), error)))
        scale = 10.0**exponent
        digits = max(0, decimals + exponent)
        return f"({value / scale:.{digits}f} ± {error / scale:.{digits}f})e{exponent}"
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def rounded(value: float, error: float | None, sign: str = "") -> str:
    """`value ± error` as short as it can be: one digit of the error, two if it begins with 1, as in `130 ± 4`.

    `sign` is `+` where a plus is to be written.
    """
    if error is None or not 0 < error < math.inf:
        return f"{'+' if sign and value > 0 else ''}{number(value, 3)}"
    exponent = math.floor(math.log10(error))
    decimals = -exponent + (round(error / 10.0**exponent, 1) < 2)
    shown, spread = (round(x, decimals) + 0.0 for x in (value, error))
    digits = max(0, decimals)
    return f"{shown:{sign}.{digits}f} ± {spread:.{digits}f}"


def compact(value: float | None, error: float | None) -> str:
    """`with_error` in the short form of tables, as in `0.00213(41)`: the error in units of the last digits."""
    text = with_error(value, error)
    if " ± " not in text:
        return text
    if text.startswith("("):
        inner, exponent = text[1:].split(")")
        mantissa, spread = inner.split(" ± ")
        return f"{_in_brackets(mantissa, spread)}{exponent}"
    return _in_brackets(*text.split(" ± "))


def _in_brackets(value: str, error: str) -> str:
    return f"{value}({error.lstrip('0.') if error.startswith('0.') else error})"


def like(value: float | None, error: float | None) -> str:
    """`value` alone, to the digits that its error deserves."""
    text = compact(value, error)
    return re.sub(r"\(.*?\)", "", text) if "(" in text else number(value, 3)


def share(value: Plain) -> str:
    """A fraction as a percentage, as in `0.12 %`."""
    if not isinstance(value, (int, float)):
        return number(value)
    if value == 0:
        return "0"
    return "< 0.001 %" if 0 < value < 1e-5 else f"{number(100 * value, 2)} %"


def pull(value: float | None) -> str:
    """Distance from the baseline in standard errors, as in `+2.1 σ`."""
    if value is None or math.isnan(value):
        return ""
    if math.isinf(value):
        return "∞ σ" if value > 0 else "−∞ σ"
    return f"{round(value, 1) + 0.0:+.1f} σ" if abs(value) < 1000 else f"{'+' if value > 0 else '−'}> 999 σ"


def listed(words: list[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
