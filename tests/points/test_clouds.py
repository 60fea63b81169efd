"""Point clouds in memory: indices, sums, padding, and every kind of bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from caloforge.errors import CaloforgeError
from caloforge.points import JET, PointClouds


def ragged(n: int = 50, seed: int = 1) -> PointClouds:
    """n showers of 0 … 19 points, with an angle."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 20, n)
    counts[3] = 0
    total = int(counts.sum())
    points = np.column_stack([rng.normal(0, 10, (total, 2)), rng.integers(0, 5, total), rng.exponential(1, total)])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return PointClouds(rng.uniform(1e3, 1e4, n), points, offsets, conditions={"theta": rng.uniform(0, 1, n)})


@pytest.mark.parametrize(
    "rows",
    [7, -1, slice(None), slice(2, 9), slice(9, 2, -2), slice(5, 5), [4, 3, 3, -2], [], np.arange(50) % 3 == 0],
    ids=["number", "last", "all", "range", "backwards", "empty range", "list", "no list", "mask"],
)
def test_rows_are_those_of_a_list_of_showers(rows: Any) -> None:
    clouds = ragged()
    each = [clouds.points[a:b] for a, b in zip(clouds.offsets[:-1], clouds.offsets[1:], strict=True)]
    wanted = np.atleast_1d(np.arange(50)[np.asarray(rows, dtype=int) if isinstance(rows, list) else rows])
    found = clouds[rows]
    assert len(found) == len(wanted)
    np.testing.assert_array_equal(found.energies, clouds.energies[wanted])
    np.testing.assert_array_equal(found.conditions["theta"], clouds.conditions["theta"][wanted])
    for one, k in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.points, each[k])


def test_sums_per_shower_include_empty_ones() -> None:
    clouds = ragged()
    energy = clouds["energy"].astype(float)
    expected = [energy[a:b].sum() for a, b in zip(clouds.offsets[:-1], clouds.offsets[1:], strict=True)]
    np.testing.assert_allclose(clouds.deposited, expected, rtol=1e-12)
    assert clouds.deposited[3] == 0


def test_padding_and_back() -> None:
    clouds = ragged()
    padded, mask = clouds.padded()
    assert padded.shape == (50, clouds.counts.max(), 4)
    assert not padded[~mask].any()
    back = PointClouds.from_padded(clouds.energies, padded, mask, clouds.names, conditions=clouds.conditions)
    assert back == clouds


def test_padding_to_fewer_points_keeps_the_heaviest_in_their_order() -> None:
    clouds = PointClouds([1, 1], [[1, 0, 0, 5], [2, 0, 0, 9], [3, 0, 0, 7], [4, 0, 0, 1]], [0, 3, 4])
    padded, mask = clouds.padded(2)
    assert padded[:, :, 0].tolist() == [[2, 3], [4, 0]]
    assert mask.tolist() == [[True, True], [True, False]]


def test_concatenation_undoes_a_division() -> None:
    clouds = ragged()
    assert PointClouds.joined([clouds[:7], clouds[7:8], clouds[8:]]) == clouds
    with pytest.raises(CaloforgeError, match="columns x, y, layer, energy and etarel"):
        PointClouds.joined([clouds, PointClouds([1], [[0, 0, 1]], [0, 1], JET)])


def test_the_text_names_jets() -> None:
    jets = PointClouds([1e6], [[0, 0, 0.5], [0.1, 0, 0.5]], [0, 2], JET)
    assert repr(jets).splitlines() == [
        "PointClouds(1 jet, 1 TeV,",
        "            2 points of etarel, phirel, ptrel; 2 … 2 per jet, mean 2)",
    ]
    assert jets.deposited[0] == 1


GOOD: dict[str, Any] = {
    "energies": [100, 200],
    "points": [[0, 5, 0, 3], [5, 5, 1, 4], [0, 0, 2, 8]],
    "offsets": [0, 2, 3],
}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"offsets": [0, 3, 2]}, "offset 2 is 2, below offset 1, which is 3"),
        ({"offsets": [1, 2, 3]}, "first offset is 1"),
        ({"offsets": [0, 2, 4]}, "last offset is 4, but there are 3 points"),
        ({"offsets": [0, 3]}, r"shape \(2,\); expected \(3,\)"),
        ({"offsets": [0, 1.5, 3]}, "whole numbers"),
        ({"offsets": "no"}, "whole numbers"),
        ({"energies": [100, 0]}, "incident energy of row 1 is 0 MeV, not above zero"),
        ({"energies": [100, np.nan]}, "row 1 is nan"),
        ({"points": [[0, 5, 0, 3], [np.nan, 5, 1, 4], [0, 0, 2, 8]]}, "x of point 1 of shower 0 is nan, not finite"),
        ({"points": [[0, 5, 0, 3], [0, 5, 1, 4], [0, 0, 2, -8]]}, "energy of point 0 of shower 1 is -8, negative"),
        ({"points": [[0, 5, 0, 3], [0, 5, 1.5, 4], [0, 0, 2, 8]]}, "layer of point 1 .* 1.5, not a whole number"),
        ({"points": [[0, 5, 0], [0, 5, 1], [0, 0, 2]]}, r"points \(3, 3\)"),
        ({"points": "no"}, "points must be an array of numbers"),
        ({"names": ("x", "x", "layer", "energy")}, "two columns .* 'x'"),
        ({"names": ("x", "y", "layer", "weight")}, "need a column energy or ptrel"),
        ({"names": "xyle"}, "list of words"),
        ({"conditions": {"theta": [1.0]}}, "theta"),
    ],
)
def test_bad_input_is_one_line_that_names_the_value(wrong: dict[str, Any], message: str) -> None:
    PointClouds(**GOOD)
    with pytest.raises(CaloforgeError, match=message) as raised:
        PointClouds(**{**GOOD, **wrong})
    assert "\n" not in str(raised.value)


def test_an_unknown_column_names_those_that_exist() -> None:
    with pytest.raises(CaloforgeError, match="no column 'z'; they have x, y, layer, energy"):
        ragged()["z"]
