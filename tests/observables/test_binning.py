"""Histogram edges of the challenge, and of everything else."""

import numpy as np
import pytest

from caloforge import observables
from caloforge.evaluation.evaluate import evaluate
from caloforge.geometry import CartesianLayer, Geometry, Layer, load_geometry
from caloforge.observables.axes import AxisRequest, of_reference
from caloforge.observables.binning import SingleBins, bin_numbers, counts, described, histogram
from caloforge.showers import Showers

REFERENCE = np.array([0.0, 2.0, 700.0])

LINEAR = [
    ("ds1-photons", "ec_eta_1", -100, 100, 100),
    ("ds1-photons", "ec_phi_2", -100, 100, 100),
    ("ds1-photons", "width_eta_2", 0, 100, 100),
    ("ds1-photons", "ec_r_0", 0, 500, 100),
    ("ds1-photons", "ec_r_12", 0, 1500, 100),
    ("ds1-photons", "width_r_3", 0, 500, 100),
    ("ds1-photons", "width_r_12", 0, 1500, 100),
    ("ds1-photons", "sparsity_12", 0, 1, 20),
    ("ds1-pions", "ec_eta_1", -100, 100, 100),
    ("ds1-pions", "ec_eta_12", -500, 500, 100),
    ("ds1-pions", "ec_phi_13", -500, 500, 100),
    ("ds1-pions", "width_phi_13", 0, 400, 100),
    ("ds1-pions", "width_r_14", 0, 1500, 100),
    ("ds2", "ec_eta_44", -30, 30, 100),
    ("ds2", "width_phi_12", 0, 30, 100),
    ("ds3", "ec_r_12", 0, 42, 100),
    ("ds3", "width_r_0", 0, 20, 100),
]


def challenge_edges(
    geometry: Geometry, name: str, reference: np.ndarray, threshold: float | None = None
) -> np.ndarray | None:
    return observables.find(geometry, name).edges(reference, threshold)


@pytest.mark.parametrize(("geometry", "name", "low", "high", "bins"), LINEAR)
def test_challenge_ranges(geometry: str, name: str, low: float, high: float, bins: int) -> None:
    edges = challenge_edges(load_geometry(geometry), name, REFERENCE, 1.0)
    np.testing.assert_allclose(edges, low + (high - low) * np.arange(bins + 1) / bins, atol=1e-12)


def test_energies_have_logarithmic_bins_to_the_references_maximum() -> None:
    geometry = load_geometry("ds1-photons")
    for name, bins in (("e_layer_2", 39), ("voxel_energy", 49)):
        edges = challenge_edges(geometry, name, REFERENCE, 1.0)
        assert edges is not None
        assert len(edges) == bins + 1
        assert edges[0] == 1.0
        assert edges[-1] == 700.0  # exactly, or the largest shower would fall outside
        np.testing.assert_allclose(np.diff(np.log(edges)), np.log(700) / bins)


def test_no_histogram_without_energy_above_the_threshold() -> None:
    geometry = load_geometry("ds1-photons")
    for largest in (0.0, 0.7, 1.0):
        assert challenge_edges(geometry, "e_layer_12", np.array([0.0, largest]), 1.0) is None
        assert challenge_edges(geometry, "voxel_energy", np.array([0.0, largest]), 1.0) is None
    assert challenge_edges(geometry, "e_layer_12", np.array([1.001]), 1.0) is not None


def test_response_range_follows_an_uncalibrated_reference() -> None:
    geometry = load_geometry("ds2")
    np.testing.assert_allclose(
        challenge_edges(geometry, "e_tot_over_e_inc", np.array([0.4, 0.9, 1.0])), np.linspace(0.5, 1.5, 101)
    )
    edges = challenge_edges(geometry, "e_tot_over_e_inc", np.array([0.02, 0.03, 0.04]))
    assert edges is not None
    assert edges[0] == 0
    assert edges[-1] == pytest.approx(0.042)


def test_own_geometry_takes_its_ranges_from_its_edges() -> None:
    own = Geometry("own", (Layer(5, (0.0, 4.0, 80.0), 6), CartesianLayer(6, (-30.0, 30.0), (-8.0, 0.0, 8.0))))
    expected = {
        "ec_eta_5": (-40, 40),
        "width_phi_5": (0, 40),
        "ec_r_5": (0, 80),
        "width_r_5": (0, 40),
        "ec_eta_6": (-4, 4),
        "ec_phi_6": (-15, 15),
        "ec_r_6": (0, np.hypot(30, 8)),
    }
    for name, (low, high) in expected.items():
        edges = challenge_edges(own, name, REFERENCE)
        assert edges is not None
        assert (edges[0], edges[-1]) == pytest.approx((low, high)), name


def test_renamed_challenge_geometry_keeps_the_challenges_ranges() -> None:
    ds2 = load_geometry("ds2")
    renamed = Geometry("mine", ds2.layers, 0.1)
    edges = challenge_edges(renamed, "ec_r_3", REFERENCE)
    assert edges is not None
    assert edges[-1] == 42


def test_counts_keep_what_falls_outside() -> None:
    edges = np.array([0.0, 1.0, 2.0, 4.0])
    values = np.array([-1.0, 0.0, 0.5, 1.0, 3.0, 4.0, 4.0001, 9.0])
    np.testing.assert_array_equal(counts(values, edges), [1, 2, 1, 2, 2])
    np.testing.assert_array_equal(counts(values, edges)[1:-1], np.histogram(values, edges)[0])
    assert bin_numbers(values, edges).tolist() == [0, 1, 1, 2, 3, 3, 4, 4]


@pytest.mark.parametrize(
    "edges",
    [
        np.geomspace(0.01, 3e3, 50),
        np.geomspace(10, 4.7e5, 50),
        np.linspace(0, 1, 11),
        np.geomspace(1, 1.1, 40),  # several edges within the table's 0.8 %
        np.array([0.5, 0.5 + 1e-12]),  # an edge that is no float32
    ],
)
def test_single_precision_voxels_fall_into_the_same_bins(edges: np.ndarray) -> None:
    rng = np.random.default_rng(7)
    on = edges.astype(np.float32)
    next_to = [np.nextafter(on, np.float32(limit)) for limit in (0, np.inf)]
    values = np.concatenate([rng.lognormal(0, 4, 20_000).astype(np.float32), on, *next_to, np.zeros(1, np.float32)])
    np.testing.assert_array_equal(SingleBins(edges).numbers(values), bin_numbers(values.astype(np.float64), edges))


def test_the_last_bin_of_a_report_is_closed_and_what_lies_outside_is_kept() -> None:
    edges = np.array([0.0, 1.0, 2.0, 4.0])
    generated, reference = np.array([-1.0, 0.5, 4.0, 4.0, 9.0]), np.array([1.0, 2.0])
    found = histogram(
        edges,
        counts(generated, edges),
        counts(reference, edges),
        name="x",
        label="an x",
        axis_label="x [mm]",
        metadata={"group": "further"},
    )
    np.testing.assert_array_equal(found["generated", :].values(flow=True), [1, 1, 0, 2, 1])
    np.testing.assert_array_equal(found["reference", :].values(), np.histogram(reference, edges)[0])
    assert (found.name, found.label, found.axes[1].label) == ("x", "an x", "x [mm]")
    assert found.sum(flow=True) == 7


def test_observables_without_a_convention_follow_the_reference() -> None:
    def edges(values: np.ndarray) -> np.ndarray | None:
        return of_reference(AxisRequest(load_geometry("ds2"), None, values, 0.0), bins=10)

    spread = edges(np.linspace(2.0, 7.0, 10_001))
    whole = edges(np.array([3.0, 4.0, 7.0]))
    constant = edges(np.full(5, 8.0))
    assert spread is not None
    assert whole is not None
    assert constant is not None
    np.testing.assert_allclose(spread, np.linspace(2.0025, 6.9975, 11))
    np.testing.assert_array_equal(whole, np.arange(2.5, 8.0))
    np.testing.assert_allclose(constant, [7.5, 8.5])
    assert edges(np.array([1.0, np.nan])) is None


def test_separation_powers_are_those_of_the_reports_histograms() -> None:
    geometry = Geometry("toy", (Layer(0, (0.0, 5.0, 10.0), 1), Layer(1, (0.0, 5.0, 10.0), 6)), threshold=1.0)

    def some(seed: int) -> Showers:
        rng = np.random.default_rng(seed)
        return Showers(np.full(200, 1e3), rng.gamma(2.0, 50.0 + seed, (200, 14)).astype(np.float32), geometry)

    found = evaluate(some(1), some(9), quick=True)
    powers = {metric.name: metric for metric in found.section("separation_power")}
    assert set(powers) == set(found.hists) == set(observables.names_of(observables.default(geometry)))
    for name, metric in powers.items():
        h, g = found.hists[name].values()
        h, g = h / h.sum(), g / g.sum()
        both = (h + g) > 0
        assert metric.estimate is not None
        assert metric.estimate.value == pytest.approx(0.5 * np.sum((h - g)[both] ** 2 / (h + g)[both])), name
        number, scale, *_ = str(metric.extra["bins"]).split()
        assert int(number) == len(h)
        assert (scale == "log") == (name in ("e_layer_0", "e_layer_1", "voxel_energy"))


def test_edges_in_words() -> None:
    assert described(np.linspace(0, 1, 11)) == {
        "bins_number": 10,
        "bins_low": 0.0,
        "bins_high": 1.0,
        "bins_scale": "linear",
    }
    assert described(np.geomspace(0.1, 10, 5))["bins_scale"] == "log"
    assert described(np.array([0.0, 1.0, 5.0]))["bins_scale"] == "variable"
