"""Numbers with errors, as short as they may be."""

import math

import pytest

from caloforge.formatting import rounded


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
