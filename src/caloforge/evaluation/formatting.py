"""Numbers as people read them: as many digits as their error, or their size, deserves."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any


def number(value: Any, digits: int = 4) -> str:
    """`value` with `digits` significant digits; whole numbers in full, nothing for None, other things as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f")
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{max(digits - 2, 1)}e}".replace("e-0", "e-").replace("e+0", "e")


def with_error(value: Any, error: Any) -> str:
    """`value ± error`, both to the error's second digit, as in `0.00213 ± 0.00041`."""
    if not isinstance(value, (int, float)) or not isinstance(error, (int, float)) or error <= 0:
        return number(value)
    decimals = 1 - math.floor(math.log10(error))
    if decimals <= 0:
        return f"{value:.0f} ± {error:.0f}"
    if decimals > 6:
        exponent = math.floor(math.log10(max(abs(value), error)))
        scale = 10.0**exponent
        places = max(0, decimals + exponent)
        return f"({value / scale:.{places}f} ± {error / scale:.{places}f})e{exponent}"
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def to_error(value: float, error: float, sign: str = "") -> str:
    """`value ± error` as short as it can be: one digit of the error, two if it begins with 1, as in `130 ± 4`.

    `sign` is `+` where a plus is to be written.
    """
    if not 0 < error < math.inf:
        return f"{'+' if sign and value > 0 else ''}{number(value, 3)}"
    exponent = math.floor(math.log10(error))
    decimals = -exponent + (round(error / 10.0**exponent, 1) < 2)
    shown, spread = (round(x, decimals) + 0.0 for x in (value, error))
    places = max(0, decimals)
    return f"{shown:{sign}.{places}f} ± {spread:.{places}f}"


def share(value: Any) -> str:
    """A share of the whole as a percentage, as in `0.12 %`."""
    if not isinstance(value, (int, float)):
        return number(value)
    if value == 0:
        return "0"
    return "< 0.001 %" if 0 < value < 1e-5 else f"{number(100 * value, 2)} %"


def compact(value: Any, error: Any) -> str:
    """The same in the short form of tables, as in `0.00213(41)`: the error in units of the last digits."""
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


def like(value: Any, error: Any) -> str:
    """`value` alone, to the digits that its error deserves."""
    text = compact(value, error)
    return re.sub(r"\(.*?\)", "", text) if "(" in text else number(value, 3)


def pull(value: Any) -> str:
    """Distance from the floor in standard errors, as in `+2.1 σ`."""
    if not isinstance(value, (int, float)):
        return ""
    return f"{round(value, 1) + 0.0:+.1f} σ" if abs(value) < 1000 else f"{'+' if value > 0 else '−'}> 999 σ"


def pull_of(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Text and level of an entry's `pull`; an infinite one is null in a report, and `pull_word` stands beside it."""
    if entry.get("pull_word"):
        return "∞ σ", "bad"
    return pull(entry.get("pull")), pull_level(entry.get("pull"))


def pull_level(value: Any) -> str:
    """`good` within 3 standard errors of the floor, `note` within 5, else `bad`; empty without a number."""
    if not isinstance(value, (int, float)):
        return ""
    return "good" if abs(value) < 3 else "note" if abs(value) < 5 else "bad"
