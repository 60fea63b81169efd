"""Incident-energy spectra: units, ranges, spectra, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caloforge.energies import parse_spectrum
from caloforge.errors import CaloforgeError
from caloforge.showers import Showers
from caloforge.units import format_energy, parse_energy


@pytest.mark.parametrize(
    ("text", "mev"),
    [("512", 512.0), ("1GeV", 1e3), ("2.5 TeV", 2.5e6), ("10keV", 1e-2), ("1e3MeV", 1e3), ("1e-3", 1e-3)],
)
def test_parse_energy(text: str, mev: float) -> None:
    assert parse_energy(text) == pytest.approx(mev)


def test_format_energy() -> None:
    assert [format_energy(e) for e in (256, 16384, 4.2e6, 0.01)] == [
        "256 MeV",
        "16.38 GeV",
        "4.2 TeV",
        "10 keV",
    ]


def test_list_gives_its_values_in_turn() -> None:
    spectrum = parse_spectrum("list:512,1GeV")
    assert spectrum.natural_count == 2
    np.testing.assert_array_equal(spectrum.draw(5, np.random.default_rng(0)), [512, 1000, 512, 1000, 512])


@pytest.mark.parametrize("dots", ["...", "…"])
def test_ellipsis_doubles(dots: str) -> None:
    drawn = parse_spectrum(f"list:256,{dots},16384").draw(None, np.random.default_rng(0))
    np.testing.assert_allclose(drawn, 256 * 2.0 ** np.arange(7))


def test_ellipsis_takes_the_ratio_of_the_first_two() -> None:
    drawn = parse_spectrum("list:10,30,...,810").draw(None, np.random.default_rng(0))
    np.testing.assert_allclose(drawn, [10, 30, 90, 270, 810])


def test_discrete_is_equally_likely() -> None:
    drawn = parse_spectrum("discrete:256,...,2048").draw(40_000, np.random.default_rng(1))
    values, counts = np.unique(drawn, return_counts=True)
    np.testing.assert_allclose(values, [256, 512, 1024, 2048])
    assert np.abs(counts - 10_000).max() < 5 * np.sqrt(10_000 * 0.75)


def test_uniform_and_loguniform_have_their_means() -> None:
    rng = np.random.default_rng(2)
    flat = parse_spectrum("uniform:1GeV:100GeV").draw(100_000, rng)
    assert flat.min() >= 1e3
    assert flat.max() <= 1e5
    assert flat.mean() == pytest.approx(50_500, abs=5 * 99_000 / np.sqrt(12e5))
    log = np.log10(parse_spectrum("loguniform:1GeV:1TeV").draw(100_000, rng))
    assert log.mean() == pytest.approx(4.5, abs=5 * 3 / np.sqrt(12e5))


def test_like_keeps_the_spectrum_of_the_file(tmp_path: Path, small_showers: Showers) -> None:
    small_showers.write(tmp_path / "s.h5")
    spectrum = parse_spectrum(f"like:{tmp_path / 's.h5'}")
    assert spectrum.natural_count == 600
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(spectrum.draw(None, rng), small_showers.energies)
    twice_and_some = spectrum.draw(1300, rng)
    assert len(twice_and_some) == 1300
    assert (np.unique(twice_and_some, return_counts=True)[1] >= 400).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gaussian:1:2", "'gaussian:1:2'.*loguniform"),
        ("like:", "'like:'.*loguniform"),
        ("like:/does/not/exist.h5", "no such file"),
        ("uniform:5GeV", "needs a lower and an upper energy"),
        ("uniform:5GeV:1GeV", "must be below"),
        ("list:1,two", "'two'"),
        ("list:1,-2", "'-2'"),
        ("list:0", "must be above zero"),
        ("list:512,-5GeV", "'-5GeV' must be above zero"),
        ("list:1e999", "'1e999' is too large"),
        ("uniform:1lb:2lb", "'lb'.*GeV"),
        ("list:256,...,1000", "1000 MeV.*256 MeV.*power of 2"),
        ("list:...,1000", "write FIRST"),
    ],
)
def test_bad_spectra_are_named(text: str, message: str) -> None:
    with pytest.raises(CaloforgeError, match=message):
        parse_spectrum(text)


def test_a_spectrum_without_a_count_asks_for_one() -> None:
    with pytest.raises(CaloforgeError, match="give n"):
        parse_spectrum("uniform:1:2").draw(None, np.random.default_rng(0))
