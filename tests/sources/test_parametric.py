"""Analytic showers against their own formulae: profiles, containment, symmetry, linearity, resolution."""

import itertools
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chisquare, gamma

from caloforge import cli
from caloforge.errors import CaloforgeError
from caloforge.geometry import BUILTIN, CartesianLayer, Geometry, Layer, load_geometry
from caloforge.showers import Showers
from caloforge.sources.parametric.electromagnetic import (
    DS1_DEPTHS,
    SOURCE,
    ParametricShowers,
    default_batch_size,
)
from caloforge.sources.parametric.shower_shape import (
    CALOGAN_LEAD_ARGON,
    LEAD_ARGON,
    TUNGSTEN_SILICON,
    longitudinal_means,
    longitudinal_spread,
    radial_parameters,
)

AVERAGE = ParametricShowers(resolution=0, constant=0, fluctuate=False)
W = TUNGSTEN_SILICON


def stack(n_layers: int, thickness: float, r_edges: tuple[float, ...], n_alpha: int = 1) -> Geometry:
    """`n_layers` layers of `thickness` X0 each in the default medium."""
    z = np.arange(n_layers + 1) * thickness * W.radiation_length
    return Geometry("stack", tuple(Layer(k, r_edges, n_alpha, (z[k], z[k + 1])) for k in range(n_layers)))


EVERYTHING = stack(60, 1.0, (0.0, 1e7))
"""60 X0 without an outer edge: nothing leaks."""


def average_parameters(energy: float) -> tuple[float, float]:
    ln_t, ln_alpha = longitudinal_means(np.log(energy / W.critical_energy), W.charge)
    return float(np.exp(ln_t)), float(np.exp(ln_alpha))


@pytest.mark.parametrize("energy", [1e3, 5e4, 1e6])
def test_layer_energies_are_the_integral_of_the_gamma_profile(energy: float) -> None:
    peak, alpha = average_parameters(energy)
    beta = (alpha - 1) / peak

    def profile(t: float) -> float:
        return beta * (beta * t) ** (alpha - 1) * math.exp(-beta * t) / math.gamma(alpha)

    found = AVERAGE.sample(np.array([energy]), stack(30, 1.0, (0.0, 1e7))).voxels[0] / energy
    expected = [quad(profile, k, k + 1)[0] for k in range(30)]
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_rings_are_the_integral_of_the_radial_profile() -> None:
    energy, edges = 2e4, (0.0, 2.0, 5.0, 12.0, 40.0, 100.0)
    peak, alpha = average_parameters(energy)
    found = AVERAGE.sample(np.array([energy]), stack(12, 0.5, edges)).layer(7)[0, 0]
    # Layer 7 is one slice, 3.5 to 4 X0, whose middle gives τ = t (α - 1)/(α T) ᾱ/(ᾱ - 1) = t/T.
    core, tail, p = radial_parameters(np.array(3.75 / peak), np.array(energy), W.charge)
    depth = gamma(alpha, scale=peak / (alpha - 1))

    def profile(r: float) -> float:
        return sum(
            share * 2 * r * radius**2 / (r**2 + radius**2) ** 2
            for share, radius in ((p, core * W.moliere_radius), (1 - p, tail * W.moliere_radius))
        )

    layer = energy * (depth.cdf(4.0) - depth.cdf(3.5))
    expected = [layer * quad(profile, a, b)[0] for a, b in itertools.pairwise(edges)]
    assert found == pytest.approx(expected, rel=1e-5)


def test_slices_finer_than_a_layer_change_little() -> None:
    # A layer of 10 X0 is sliced inside: it agrees with ten layers of 1 X0.
    energy, edges = np.array([3e4]), (0.0, 3.0, 10.0, 50.0)
    thick = AVERAGE.sample(energy, stack(1, 10.0, edges)).voxels[0]
    thin = AVERAGE.sample(energy, stack(10, 1.0, edges)).voxels[0].reshape(10, 3).sum(axis=0)
    assert thick == pytest.approx(thin, rel=1e-5)


def test_mean_shower_maximum_lies_at_the_formula() -> None:
    for energy in (1e3, 1e5):
        profile = AVERAGE.sample(np.array([energy]), stack(400, 0.05, (0.0, 1e7))).voxels[0]
        assert (profile.argmax() + 0.5) * 0.05 == pytest.approx(average_parameters(energy)[0], abs=0.05)


def test_profiles_fluctuate_with_the_stated_means_widths_and_correlation() -> None:
    n, ln_y = 40_000, np.log(1e5 / W.critical_energy)
    peak, alpha, start = ParametricShowers().draw_profiles(np.full(n, 1e5), np.random.default_rng(0))
    means = longitudinal_means(ln_y, W.charge)
    sigma_t, sigma_alpha, rho = longitudinal_spread(ln_y)
    for values, mean, sigma in ((np.log(peak), means[0], sigma_t), (np.log(alpha), means[1], sigma_alpha)):
        assert values.mean() == pytest.approx(mean, abs=4 * sigma / math.sqrt(n))
        assert values.std() == pytest.approx(sigma, rel=4 / math.sqrt(2 * n))
    assert np.corrcoef(np.log(peak), np.log(alpha))[0, 1] == pytest.approx(rho, abs=4 / math.sqrt(n))
    assert (start == 0).all()


def test_photons_start_later_by_the_conversion_length() -> None:
    photon = replace(AVERAGE, conversion_length=9 / 7)
    depth = np.arange(60) + 0.5

    def centre(source: ParametricShowers) -> np.ndarray:
        voxels = source.sample(np.full(4000, 1e4), EVERYTHING, seed=1).voxels
        return voxels @ depth / voxels.sum(axis=1)

    shift = centre(photon) - centre(AVERAGE)
    assert shift.mean() == pytest.approx(9 / 7, abs=4 * 9 / 7 / math.sqrt(4000))


def test_radial_containment_of_the_whole_sample() -> None:
    # Spots included: within r the mean share is that of the average shower.
    geometry = stack(30, 1.0, (0.0, 5.0, 20.0, 60.0), 4)
    energies = np.full(3000, 1e4)
    full = ParametricShowers(fluctuate=False).sample(energies, geometry, seed=3).voxels.reshape(3000, 30, 4, 3)
    expected = AVERAGE.sample(energies[:1], geometry).voxels.reshape(30, 4, 3).sum(axis=(0, 1)) / 1e4
    rings = full.sum(axis=(1, 2)) / 1e4
    error = rings.std(axis=0) / math.sqrt(3000)
    assert (np.abs(rings.mean(axis=0) - expected) < 4 * error).all()


def test_no_direction_is_preferred() -> None:
    # With exponential spots of mean ε, E/ε of a voxel has the variance 2 E/ε: chi-square on half of it.
    geometry = stack(20, 1.0, (0.0, 10.0, 40.0), 8)
    source = ParametricShowers()
    showers = source.sample(np.full(500, 5e3), geometry, seed=4)
    spot = source.resolution**2 / 2 * 1e3
    per_alpha = showers.voxels.reshape(500, 20, 8, 2).sum(axis=(0, 1, 3), dtype=float) / spot
    assert chisquare(per_alpha / 2).pvalue > 1e-3
    eta = (showers.voxels @ geometry.eta).sum() / showers.voxels.sum()
    assert abs(eta) < 0.2


@pytest.mark.parametrize(("a", "c"), [(0.1, 0.0), (0.2, 0.0), (0.0, 0.03), (0.13, 0.02)])
@pytest.mark.parametrize("energy", [1e3, 6.4e4])
def test_energy_is_linear_with_the_stated_resolution(a: float, c: float, energy: float) -> None:
    n = 4000
    source = ParametricShowers(resolution=a, constant=c, fluctuate=False)
    ratio = source.sample(np.full(n, energy), EVERYTHING, seed=5).deposited / energy
    sigma = math.hypot(a / math.sqrt(energy / 1e3), c)
    assert ratio.mean() == pytest.approx(1, abs=4 * sigma / math.sqrt(n))
    assert ratio.std() == pytest.approx(sigma, rel=5 / math.sqrt(2 * n))


def test_energy_is_conserved_where_nothing_leaks_and_lost_where_it_leaks() -> None:
    energies = np.geomspace(10, 1e7, 40)
    assert AVERAGE.sample(energies, EVERYTHING).deposited == pytest.approx(energies, rel=1e-4)
    shallow = AVERAGE.sample(energies, stack(5, 1.0, (0.0, 20.0))).deposited / energies
    assert (np.diff(shallow[energies > 1e3]) < 0).all()
    gap = replace(AVERAGE, layer_depths=((0, 4), (6, 60)))
    whole, gapped = AVERAGE.sample(energies, EVERYTHING), gap.sample(energies, stack(2, 1.0, (0.0, 1e7)))
    assert whole.deposited - gapped.deposited == pytest.approx(whole.voxels[:, 4:6].sum(axis=1), rel=1e-3)


def test_deep_thin_and_far_voxels_are_never_negative() -> None:
    fine = tuple(np.linspace(0, 1e5, 400))
    geometry = Geometry("fine", (Layer(0, fine, 2, (0, 900)), CartesianLayer(1, fine, (5e4, 5e4 + 1e-3), (900, 901))))
    for source in (AVERAGE, ParametricShowers()):
        voxels = source.sample(np.array([1e-3, 5.0, 1e12]), geometry).voxels
        assert np.isfinite(voxels).all()
        assert (voxels >= 0).all()


@pytest.mark.parametrize("name", BUILTIN)
def test_every_builtin_geometry_gets_plausible_showers(name: str) -> None:
    geometry = load_geometry(name)
    energies = np.geomspace(1e3, 1e5, 60)
    showers = ParametricShowers.for_geometry(geometry).sample(energies, geometry, seed=6)
    assert showers.voxels.shape == (60, geometry.n_voxels)
    assert showers.voxels.dtype == np.float32
    assert np.array_equal(showers.energies, energies)
    assert showers.attributes["source"] == SOURCE
    assert (showers.deposited / energies).mean() == pytest.approx(0.98, abs=0.03)


def test_parameters_are_chosen_by_geometry() -> None:
    ds1 = ParametricShowers.for_geometry(load_geometry("ds1-pions"))
    assert (ds1.medium, ds1.conversion_length) == (LEAD_ARGON, 9 / 7)
    assert ds1.depths(load_geometry("ds1-photons")).tolist() == [list(DS1_DEPTHS[i]) for i in (0, 1, 2, 3, 12)]
    assert ParametricShowers.for_geometry(load_geometry("calogan")).medium == CALOGAN_LEAD_ARGON
    changed = ParametricShowers.for_geometry(load_geometry("ds2"), resolution=0.2)
    assert changed == ParametricShowers(resolution=0.2)


def test_depths_come_from_z_edges_or_layer_depths_or_equal_shares() -> None:
    depths = ParametricShowers().depths(load_geometry("ds3"))
    assert depths[[0, -1], [0, 1]] == pytest.approx([0, 45 * 3.4 / 4.221])
    # A user's own detector may stand anywhere along z; the shower starts at its front.
    own = Geometry("own", (Layer(4, (0.0, 9.0), 2, (1500.0, 1504.221)), Layer(7, (1.0, 8.0), 3, (1510.0, 1520.0))))
    assert ParametricShowers().depths(own)[0] == pytest.approx([0, 1])
    given = ((0.5, 2.0), (2.0, 30.0))
    assert ParametricShowers(layer_depths=given).depths(own).tolist() == [list(pair) for pair in given]
    bare = Geometry("bare", (Layer(0, (0.0, 9.0)), Layer(1, (0.0, 9.0)), Layer(2, (0.0, 9.0)), Layer(3, (0.0, 9.0))))
    assert ParametricShowers().depths(bare)[:, 1].tolist() == [6.25, 12.5, 18.75, 25.0]


def test_same_seed_and_batch_size_give_the_same_arrays() -> None:
    geometry, source = load_geometry("ds2"), ParametricShowers()
    energies = np.geomspace(1e3, 1e5, 25)
    first = source.sample(energies, geometry, seed=7, batch_size=10).voxels
    assert np.array_equal(first, source.sample(energies, geometry, seed=7, batch_size=10).voxels)
    # Whole batches do not depend on what follows them.
    assert np.array_equal(first[:20], source.sample(energies[:20], geometry, seed=7, batch_size=10).voxels)
    assert not np.array_equal(first, source.sample(energies, geometry, seed=8, batch_size=10).voxels)
    assert not np.array_equal(first[:10], first[10:20])


def test_batches_cover_all_showers_in_order() -> None:
    energies = np.arange(1, 24) * 1e3
    batches = list(ParametricShowers().simulate(energies, load_geometry("ds1-photons"), batch_size=10))
    assert [len(batch) for batch in batches] == [10, 10, 3]
    assert np.array_equal(np.concatenate([batch.energies for batch in batches]), energies)
    assert default_batch_size(load_geometry("ds3")) == 98


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resolution": -0.1}, "resolution of analytic showers must be 0 or from 0.0001 to 1, not -0.1"),
        ({"resolution": 13.0}, "resolution .* not 13"),
        ({"constant": math.nan}, "constant .* not nan"),
        ({"conversion_length": -1.0}, "conversion_length must be at least 0 X0, not -1"),
        ({"layer_depths": ((0, 1), (0.5, 2))}, "layer_depths .* layer 2 has 0.5 to 2 X0"),
        ({"layer_depths": ((0, 0),)}, "layer 1 has 0 to 0 X0"),
        ({"layer_depths": ((0, math.inf),)}, "layer 1 has 0 to inf X0"),
        ({"layer_depths": (1, 2, 3)}, "layer_depths must be .* pairs"),
    ],
)
def test_bad_parameters_are_named(fields: dict, message: str) -> None:
    with pytest.raises(CaloforgeError, match=message):
        ParametricShowers(**fields)


@pytest.mark.parametrize(
    ("energies", "options", "message"),
    [
        ([], {}, "non-empty"),
        ([[1e3]], {}, "shape \\(1, 1\\)"),
        ([1e3, 0.0], {}, "incident energy 1 is 0 MeV"),
        ([1e3, math.nan], {}, "incident energy 1 is nan"),
        ([math.inf], {}, "incident energy 0 is inf"),
        ([1e3], {"seed": -1}, "seed must be at least 0, not -1"),
        ([1e3], {"batch_size": 0}, "batch size must be at least 1, not 0"),
    ],
)
def test_bad_requests_fail_before_the_first_batch(energies: list, options: dict, message: str) -> None:
    with pytest.raises(CaloforgeError, match=message):
        ParametricShowers().simulate(np.array(energies), EVERYTHING, **options)


def test_geometries_without_usable_depths_are_refused() -> None:
    half = Geometry("half", (Layer(0, (0.0, 1.0), 1, (0.0, 3.0)), Layer(1, (0.0, 1.0))))
    with pytest.raises(CaloforgeError, match="'half' has z_edges for 1 of 2 layers"):
        ParametricShowers().depths(half)
    crossed = Geometry("crossed", (Layer(0, (0.0, 1.0), 1, (0.0, 3.0)), Layer(1, (0.0, 1.0), 1, (2.0, 4.0))))
    with pytest.raises(CaloforgeError, match="z_edges of geometry 'crossed' must increase"):
        ParametricShowers().depths(crossed)
    with pytest.raises(CaloforgeError, match="layer_depths has 1 pairs, but geometry 'half' has 2 layers"):
        ParametricShowers(layer_depths=((0, 1),)).depths(half)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["caloforge", "simulate", "parametric", *words])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    return int(leaving.value.code or 0)


def test_command_writes_a_challenge_file_that_says_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-g", "ds2", "-e", "loguniform:1GeV:1TeV", "-n", "30", "--seed", "3", "--resolution", "0.2"]
    files = [tmp_path / "one.h5", tmp_path / "two.h5"]
    for file in files:
        assert run(monkeypatch, *words, "-b", "12", "-o", str(file)) == 0
    assert "NOT Geant4" in capsys.readouterr().out
    one, two = (Showers.read(file) for file in files)
    assert np.array_equal(one.voxels, two.voxels)
    assert np.array_equal(one.energies, two.energies)
    assert one.energies.min() >= 1e3
    assert len(set(one.energies)) == 30
    with h5py.File(files[0]) as file:
        attributes = dict(file.attrs)
        assert file["incident_energies"].shape == (30, 1)
    assert "NOT Geant4" in attributes["source"]
    assert (attributes["seed"], attributes["batch_size"], attributes["geometry"]) == (3, 12, "ds2")
    assert attributes["energies"] == "loguniform:1GeV:1TeV"
    assert json.loads(attributes["parameters"])["resolution"] == 0.2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-e", "loguniform:1GeV:1TeV"], "needs the number of showers"),
        (["-e", "list:512", "-g", "ds9"], "unknown geometry 'ds9'"),
        (["-e", "list:512", "--seed", "-4"], "seed must be at least 0"),
        (["-e", "list:512", "-b", "0"], "batch size must be at least 1"),
        (["-e", "list:512", "--resolution", "13"], "resolution of analytic showers"),
        (["-e", "list:512", "--compression", "10"], "gzip level"),
        (["-e", "gaussian:1:2", "-n", "5"], "is not a valid energy spectrum"),
    ],
)
def test_command_refuses_in_one_line_and_writes_nothing(
    words: list,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *words, "-o", str(tmp_path / "out.h5")) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
