"""Incident-energy spectra: agreement, matching, and fair subsets."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from caloforge.energies import agreement
from caloforge.errors import CaloforgeError

DISCRETE = np.repeat([256.0, 512.0, 1024.0], [50, 30, 20])


def test_distance_is_kolmogorov_smirnov() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.lognormal(8, 1, 400), rng.lognormal(8.2, 1, 300)
    found = agreement.distance(a, b)
    assert found[0] == pytest.approx(ks_2samp(a, b).statistic)
    assert found[1] == pytest.approx(ks_2samp(a, b, method="asymp").pvalue, rel=0.3)


def test_storage_in_gev_makes_no_difference() -> None:
    in_gev = (DISCRETE / 1e3).astype(np.float32).astype(np.float64) * 1e3
    assert agreement.distance(in_gev, DISCRETE) == (0.0, 1.0)


def test_shared_and_independent_spectra_are_distinguished() -> None:
    rng = np.random.default_rng(2)
    spectrum = rng.uniform(1e3, 1e5, 2000)
    assert agreement.share_spectrum(spectrum, rng.permutation(spectrum))
    assert not agreement.share_spectrum(spectrum, rng.uniform(1e3, 1e5, 2000))
    assert agreement.check_same(spectrum, rng.uniform(1e3, 1e5, 2000), "a", "b")[1] > 1e-3


def test_different_spectra_are_refused_with_both_names() -> None:
    with pytest.raises(CaloforgeError, match=r"gen\.h5.*ref\.h5.*match_energies=True") as caught:
        agreement.check_same(np.full(50, 256.0), DISCRETE, "gen.h5", "ref.h5")
    assert "\n" not in str(caught.value)


def test_matching_discrete_spectra_keeps_the_smaller_number_at_each_energy() -> None:
    other = np.repeat([256.0, 1024.0, 4096.0], [10, 40, 40])
    rows, other_rows = agreement.match(DISCRETE, other, np.random.default_rng(3))
    for energies in (DISCRETE[rows], other[other_rows]):
        assert dict(zip(*np.unique(energies, return_counts=True), strict=True)) == {256.0: 10, 1024.0: 20}
    assert len(np.unique(rows)) == 30


def test_matching_continuous_spectra() -> None:
    rng = np.random.default_rng(4)
    flat, steep = rng.uniform(1e3, 1e5, 6000), np.exp(rng.uniform(np.log(1e3), np.log(1e5), 6000))
    assert agreement.distance(flat, steep)[1] < 1e-6
    a, b = agreement.match(flat, steep, rng)
    assert agreement.distance(flat[a], steep[b])[1] > 0.99
    assert len(a) > 2000


def test_nothing_in_common_is_said() -> None:
    with pytest.raises(CaloforgeError, match="no incident energy in common"):
        agreement.match(np.full(5, 10.0), np.full(5, 20.0), np.random.default_rng(1))


def test_selecting_energies_and_ranges() -> None:
    rows = agreement.select(DISCRETE, [512.0, (900.0, 2000.0)], "x.h5")
    assert sorted(set(DISCRETE[rows])) == [512.0, 1024.0]
    assert len(rows) == 50
    with pytest.raises(CaloforgeError, match=r"x\.h5 has no shower at 2\.048 GeV"):
        agreement.select(DISCRETE, [2048.0], "x.h5")


@pytest.mark.parametrize("stratified", [True, False])
def test_halves_are_disjoint_and_stratified_ones_have_one_spectrum(stratified: bool) -> None:
    rng = np.random.default_rng(5)
    energies = rng.uniform(1e3, 1e5, 1001)
    first, second = agreement.halves(energies, 500, rng, stratified)
    assert len(np.unique(np.concatenate([first, second]))) == 1000
    distance = agreement.distance(energies[first], energies[second])[0]
    assert (distance <= 1 / 500 + 1e-12) == stratified


def test_stratified_thinning_keeps_the_shares() -> None:
    rows = agreement.thin(DISCRETE, 10, np.random.default_rng(6), stratified=True)
    assert np.unique(DISCRETE[rows], return_counts=True)[1].tolist() == [5, 3, 2]
    assert len(np.unique(rows)) == 10
    assert agreement.thin(DISCRETE, 100, np.random.default_rng(6), stratified=True).tolist() == list(range(100))


CONTINUOUS = np.geomspace(1e3, 1e6, 3000)
NARROW = np.geomspace(1e3, 2e3, 300)


@pytest.mark.parametrize("energies", [DISCRETE, 2.0 ** np.repeat(np.arange(8, 23), 20), CONTINUOUS, CONTINUOUS[::40]])
def test_gev_given_as_mev_are_asked_for(energies: np.ndarray) -> None:
    for pair, names in (
        ((energies / 1e3, energies), ("gen.h5", "ref.h5")),
        ((energies, energies / 1e3), ("x", "gen.h5")),
    ):
        with pytest.raises(
            CaloforgeError, match=r"those of gen\.h5 are about 1000 times lower; are they GeV\?"
        ) as caught:
            agreement.check_same(*pair, *names)
        assert "match_energies=True" not in str(caught.value)


def test_thinning_is_never_advised_where_nothing_would_be_left() -> None:
    apart = [(np.full(50, 256.0), np.full(50, 512.0)), (NARROW, 5 * NARROW)]
    apart.append((np.repeat([256.0, 1024.0], 40), np.repeat([512.0, 2048.0], 40)))  # ranges overlap, energies do not
    for first, second in apart:
        with pytest.raises(CaloforgeError, match="no incident energy in common: generate at the energies") as caught:
            agreement.check_same(first, second, "a", "b")
        assert "match_energies=True" not in str(caught.value)
        assert "GeV?" not in str(caught.value)
    with pytest.raises(CaloforgeError, match=r"in common.*are they GeV\?"):
        agreement.match(DISCRETE / 1e3, DISCRETE, np.random.default_rng(1))
    rare = np.repeat([256.0, 512.0], [10000, 20])
    with pytest.raises(CaloforgeError, match="match_energies=True"):
        agreement.check_same(np.full(50, 512.0), rare, "a", "b")
