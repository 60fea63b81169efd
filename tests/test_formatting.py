"""Numbers with errors, as short as they may be."""

import math

import pytest

from caloforge.formatting import compact, rounded, with_error


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (130.2, 4.1, "130 ± 4"),
        (455.437, 1.61, "455.4 ± 1.6"),
        (1.0, 0.1, "1.00 ± 0.10"),
        (1.0, 0.0996, "1.00 ± 0.10"),
        (-0.4, 0.03, "-0.40 ± 0.03"),
        (1234.0, 412.0, "1200 ± 400"),
        (1234.0, 151.0, "1230 ± 150"),
        (-0.001, 0.3, "0.0 ± 0.3"),
        (12.3456, 0.0, "12.3"),
        (12.3456, math.inf, "12.3"),
    ],
)
def test_one_digit_of_the_error_or_two_if_it_begins_with_1(value: float, error: float, text: str) -> None:
    assert rounded(value, error) == text


def test_a_plus_where_it_is_wanted() -> None:
    assert rounded(130.2, 4.1, "+") == "+130 ± 4"
    assert rounded(3.0, 0.0, "+") == "+3"
    assert rounded(-3.0, 0.0, "+") == "-3"


@pytest.mark.parametrize(
    ("value", "error", "text", "short"),
    [
        (0.99760094, 5.6e-7, "0.99760094 ± 0.00000056", "0.99760094(56)"),
        (2.5e-7, 3e-8, "(2.50 ± 0.30)e-7", "2.50(30)e-7"),
        (0.00213, 0.00041, "0.00213 ± 0.00041", "0.00213(41)"),
        (0.0, 2.8e-17, "0", "0"),  # of a divergence between equal histograms
        (2e-13, 3e-14, "(2.00 ± 0.30)e-13", "2.00(30)e-13"),
    ],
)
def test_only_small_values_have_an_exponent(value: float, error: float, text: str, short: str) -> None:
    assert (with_error(value, error), compact(value, error)) == (text, short)
