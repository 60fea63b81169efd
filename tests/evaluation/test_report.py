"""`evaluate` on small samples of an analytic kind: floors, corruptions found by name, bad inputs in one line."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caloforge.errors import CaloforgeError
from caloforge.evaluation import html
from caloforge.evaluation.further_tables import report_tables
from caloforge.evaluation.old_report import Report, evaluate, plain
from caloforge.geometry import Geometry, Layer, load_geometry
from caloforge.showers import Showers

GEOMETRY = Geometry(
    "toy",
    (
        Layer(0, (0.0, 20.0, 60.0), 1),
        Layer(1, (0.0, 5.0, 10.0, 20.0), 6),
        Layer(2, (0.0, 5.0, 15.0, 30.0), 6),
        Layer(12, (0.0, 50.0, 200.0), 1),
    ),
    threshold=1.0,
)


def make(n: int, seed: int, geometry: Geometry = GEOMETRY) -> Showers:
    """Showers that fluctuate in response, depth, position and width, so that no two are alike."""
    rng = np.random.default_rng(seed)
    energies = np.resize([1024.0, 4096.0, 16384.0], n)
    shares = rng.dirichlet(np.linspace(3, 9, geometry.n_layers), n)
    width = rng.uniform(5, 9, n)
    x, y = rng.normal(0, 1.5, (2, n))
    voxels = np.empty((n, geometry.n_voxels))
    for k, (layer, part) in enumerate(zip(geometry.layers, geometry.slices, strict=True)):
        d2 = (layer.eta - x[:, None]) ** 2 + (layer.phi - y[:, None]) ** 2
        weights = np.exp(-np.sqrt(d2) / width[:, None]) * rng.gamma(3.0, 1.0, d2.shape)
        voxels[:, part] = shares[:, k, None] * weights / weights.sum(axis=1, keepdims=True)
    response = rng.normal(0.95, 0.03, n)
    return Showers(energies, (voxels * (response * energies)[:, None]).astype(np.float32), geometry)


@pytest.fixture(scope="module")
def samples() -> tuple[Showers, Showers]:
    return make(2400, 1), make(2400, 2)


@pytest.fixture(scope="module")
def equal(samples: tuple[Showers, Showers]) -> Report:
    return evaluate(*samples, classifiers=[], per_energy=True)


def judge(samples: tuple[Showers, Showers], change: Any, **options: Any) -> dict[str, Any]:
    generated, reference = samples
    voxels, energies = generated.voxels.copy(), generated.energies.copy()
    change(voxels)
    return evaluate(Showers(energies, voxels, GEOMETRY), reference, classifiers=[], **options).data


def found(data: dict[str, Any], metric: str) -> str:
    """The verdict's bad points about `metric`, as one text."""
    points = [p for p in data["verdict"]["points"] if p["level"] == "bad" and p["metric"] == metric]
    return " | ".join(p["text"] for p in points)


def test_equal_samples_lie_at_the_floor(equal: Report) -> None:
    data = equal.data
    entries = {**data["separation_power"], **data["wasserstein"], "fpd": data["fpd"], "kpd": data["kpd"]}
    assert len(entries) > 50
    for name, entry in entries.items():
        error = np.hypot(entry["error"], entry["floor_error"])
        at_n = entry.get("value_at_n", entry["value"])
        assert abs(at_n - entry["floor"]) < 3.5 * error + 1e-9, name
    assert not [p for p in data["verdict"]["points"] if p["level"] == "bad"]
    assert data["floor"] == {"source": "split", "n": 1200, "stratified": True}


def test_every_section_is_there_and_plain(equal: Report) -> None:
    data = equal.data
    text = json.dumps(data, allow_nan=False)
    assert json.loads(text) == data
    challenge = {"value", "error", "floor", "floor_error", "value_at_n", "outside", "value_with_overflow", "bins"}
    assert challenge <= set(data["separation_power"]["e_layer_12"])
    assert set(data["mean_separation_power"]) == {"all", "table1"}
    assert set(data["prdc"]) == {"n", "k", "precision", "recall", "density", "coverage"}
    assert set(data["lecture_w1"]["rows"]) == {"reference", "generated"}
    assert len(data["lecture_w1"]["rows"]["generated"]) == 8
    assert np.array(data["correlations"]["layers"]["difference"]).shape == (4, 4)
    assert data["correlations"]["directions"]["names"] == ["ec_eta_1", "ec_eta_2", "ec_phi_1", "ec_phi_2"]
    assert "equal width (scale linear)" in data["binning"]
    assert set(data["profiles"]) == {"longitudinal", "radial", "azimuthal"}
    assert list(data["per_energy"]) == ["1.024 GeV", "4.096 GeV", "16.38 GeV"]
    assert data["per_energy"]["1.024 GeV"]["n_reference"] == 800
    assert data["classifier"] == {}
    assert {"reading", "separation_power", "fpd_kpd"} <= set(data["timing"])


def test_mean_is_the_mean(equal: Report) -> None:
    powers = [entry["value"] for entry in equal.data["separation_power"].values()]
    assert equal.data["mean_separation_power"]["all"]["value"] == pytest.approx(np.mean(powers))
    assert equal.data["mean_separation_power"]["all"]["observables"] == len(powers)


def test_seed_decides_everything(samples: tuple[Showers, Showers]) -> None:
    first, second = (evaluate(*samples, classifiers=[], quick=True, seed=5).data for _ in range(2))
    for key in ("separation_power", "wasserstein", "mean_separation_power"):
        assert first[key] == second[key]
    assert "left out" in first["fpd"]["unavailable"]


def test_voxels_permuted_within_layer_2(samples: tuple[Showers, Showers]) -> None:
    part = GEOMETRY.slices[2]
    order = np.random.default_rng(3).permutation(part.stop - part.start)

    def permute(voxels: np.ndarray) -> None:
        voxels[:, part] = voxels[:, part][:, order]

    data = judge(samples, permute)
    assert "layer 2" in found(data, "separation_power")
    assert "ec_r_2" in found(data, "separation_power")
    assert found(data, "fpd")
    for name in ("e_layer_2", "ec_r_1", "e_tot_over_e_inc"):
        assert data["separation_power"][name]["pull"] < 3


def test_energies_scaled_by_five_per_cent(samples: tuple[Showers, Showers]) -> None:
    def scale(voxels: np.ndarray) -> None:
        voxels *= 1.05

    data = judge(samples, scale, quick=True)
    assert data["response"]["mean"]["value"] == pytest.approx(0.05, abs=0.005)
    assert data["response"]["mean"]["pull"] > 20
    assert "% too high" in found(data, "response")
    assert "e_tot_over_e_inc" in found(data, "separation_power")
    assert "the energy response" in data["verdict"]["headline"]


def test_a_tenth_replaced_by_copies(samples: tuple[Showers, Showers]) -> None:
    def copy(voxels: np.ndarray) -> None:
        voxels[:240] = voxels[240:480]

    data = judge(samples, copy)
    assert data["duplicates"]["within"]["value"] == pytest.approx(0.1)
    assert data["duplicates"]["within"]["floor"] == 0
    assert "10.00 % of the generated showers repeat another" in found(data, "duplicates")
    assert "near-duplicate" in found(data, "duplicates")
    assert not found(data, "separation_power")


def test_near_copies_are_found_though_no_byte_agrees(samples: tuple[Showers, Showers]) -> None:
    def nearly(voxels: np.ndarray) -> None:
        voxels[:240] = voxels[240:480] * 1.001

    data = judge(samples, nearly)
    assert data["duplicates"]["within"]["value"] == 0
    assert data["duplicates"]["near"]["value"] > 0.1
    assert "near-duplicate" in found(data, "duplicates")


def test_layer_12_set_to_zero(samples: tuple[Showers, Showers]) -> None:
    def clear(voxels: np.ndarray) -> None:
        voxels[:, GEOMETRY.slices[3]] = 0

    data = judge(samples, clear)
    assert data["separation_power"]["e_layer_12"]["value"] == 1
    assert data["separation_power"]["e_layer_12"]["outside"] == {
        "generated": 1.0,
        "reference": pytest.approx(0.0, abs=0.01),
    }
    assert data["always_zero_voxels"]["only_generated"]["empty_layers"] == [12]
    assert data["always_zero_voxels"]["only_generated"]["layers"] == {
        "12": data["always_zero_voxels"]["only_generated"]["certain"]
    }
    assert "layer 12 has no energy in any generated shower" in found(data, "always_zero_voxels")


def test_memorisation_of_the_training_file(samples: tuple[Showers, Showers]) -> None:
    training = make(1000, 9)

    def memorise(voxels: np.ndarray) -> None:
        voxels[:150] = training.voxels[:150]
        voxels[150:600] = training.voxels[150:600] * 1.0005

    clean = judge(samples, lambda voxels: None, train=training)
    assert clean["duplicates"]["of_training"]["value"] == 0
    assert not found(clean, "duplicates")
    data = judge(samples, memorise, train=training)
    assert data["duplicates"]["of_training"]["count"] == 150
    assert data["duplicates"]["near_training"]["value"] > 0.1
    assert "memorised" in found(data, "duplicates")


def test_floor_file(samples: tuple[Showers, Showers]) -> None:
    data = judge(samples, lambda voxels: None, floor=make(2400, 7), quick=True)
    assert data["floor"]["n"] == 2400
    entry = data["separation_power"]["e_layer_1"]
    assert abs(entry["pull"]) < 4
    shifted = make(2400, 8)
    data = judge(samples, lambda voxels: None, floor=replace(shifted, voxels=shifted.voxels * 1.1), quick=True)
    assert data["separation_power"]["e_tot_over_e_inc"]["floor"] > 0.3


def test_files_and_energy_choice(tmp_path: Path, samples: tuple[Showers, Showers]) -> None:
    for name, sample in zip(("g.h5", "r.h5"), samples, strict=True):
        sample.write(tmp_path / name)
    report = evaluate(tmp_path / "g.h5", tmp_path / "r.h5", classifiers=[], quick=True, only_energies=[4096.0])
    assert report.data["generated"] == {
        "path": str(tmp_path / "g.h5"),
        "n": 800,
        "without_energy": 0,
        "attributes": report.data["generated"]["attributes"],
    }
    assert set(report.generated.energies) == {4096.0}


def test_different_spectra_are_refused_or_matched(samples: tuple[Showers, Showers]) -> None:
    generated, reference = samples
    fewer = generated[generated.energies < 10000]
    with pytest.raises(CaloforgeError, match="--match-energies"):
        evaluate(fewer, reference, classifiers=[])
    data = evaluate(fewer, reference, classifiers=[], quick=True, match_energies=True).data
    assert data["spectrum"]["reference_kept"] == 1600
    assert data["generated"]["n"] == data["reference"]["n"] == 1600
    assert any(p["metric"] == "spectrum" for p in data["verdict"]["points"])


def test_too_few_showers_give_reasons_and_no_nan(samples: tuple[Showers, Showers]) -> None:
    data = evaluate(samples[0][:12], samples[1][:12], classifiers=[]).data
    assert data["separation_power"]["e_layer_0"]["unavailable"] == "needs at least 20 showers a side, there are 6"
    assert "1000 showers a side" in data["fpd"]["unavailable"]
    assert "No verdict" in data["verdict"]["headline"] or "could not be had" in data["verdict"]["headline"]
    json.dumps(data, allow_nan=False)
    with pytest.raises(CaloforgeError, match="has 1 shower to compare; at least 2 are needed"):
        evaluate(samples[0][:1], samples[1], classifiers=[], match_energies=True)


def test_layers_without_energy_and_constant_observables_have_a_word_why() -> None:
    def dead(seed: int) -> Showers:
        showers = make(600, seed)
        showers.voxels[:, GEOMETRY.slices[3]] = 0
        showers.voxels[:, GEOMETRY.slices[0]] = 5.0
        return showers

    data = evaluate(dead(1), dead(2), classifiers=[]).data
    assert "does not exceed the threshold" in data["separation_power"]["e_layer_12"]["unavailable"]
    assert data["separation_power"]["e_layer_0"]["value"] == 0
    layers = data["correlations"]["layers"]
    assert set(layers["constant"]) == {"e_layer_0", "e_layer_12"}
    assert layers["reference"][0][1] is None
    assert layers["reference"][1][2] is not None
    assert any("e_layer_12" in p["text"] for p in data["verdict"]["points"] if p["metric"] == "unavailable")
    json.dumps(data, allow_nan=False)


def test_one_per_cent_of_energy_is_named_though_the_histograms_cannot_see_it() -> None:
    """At 2 000 showers a side, that is: the mean's error is 0.03 / sqrt(1000), the shift ten of it."""
    generated, reference = make(2000, 3), make(2000, 4)
    equal = evaluate(generated, reference, classifiers=[], quick=True).data
    assert abs(equal["response"]["mean"]["pull"]) < 3
    assert not [p for p in equal["verdict"]["points"] if p["metric"] == "response"]
    scaled = evaluate(
        replace(generated, voxels=generated.voxels * np.float32(1.01)), reference, classifiers=[], quick=True
    )
    assert "mean of E_dep/E_inc is" in found(scaled.data, "response")
    assert "the energy response" in scaled.data["verdict"]["headline"]


@pytest.mark.parametrize("which", ["generated", "reference", "both"])
def test_showers_without_any_energy(samples: tuple[Showers, Showers], which: str) -> None:
    empty = replace(samples[0], voxels=np.zeros_like(samples[0].voxels))
    generated = empty if which != "reference" else samples[0]
    reference = empty if which != "generated" else samples[1]
    data = evaluate(generated, reference, classifiers=[]).data
    json.dumps(data, allow_nan=False)
    if which == "generated":
        assert "showers without any energy" in found(data, "empty")
        assert data["separation_power"]["e_tot_over_e_inc"]["value"] == 1
        assert data["verdict"]["headline"].startswith("Told apart from the reference by showers without energy")
        return
    assert "no reference shower has energy above the readout threshold" in data["fpd"]["unavailable"]
    assert all("unavailable" in entry for entry in data["separation_power"].values())
    assert "unavailable" in data["mean_separation_power"]["all"]
    assert data["verdict"]["headline"].startswith("No verdict: ")
    assert {point["level"] for point in data["verdict"]["points"]} == {"bad"}
    assert ("neither file" in data["verdict"]["headline"]) == (which == "both")


def test_a_given_geometry_may_change_the_threshold_but_not_the_voxels(samples: tuple[Showers, Showers]) -> None:
    cut = replace(GEOMETRY, name="cut", threshold=20.0)
    generated, reference = (sample[:200] for sample in samples)
    plain = evaluate(generated, reference, classifiers=[], quick=True, geometry=GEOMETRY).data
    assert "geometry_remark" not in plain
    data = evaluate(generated, reference, classifiers=[], quick=True, geometry=cut).data
    assert (data["geometry"], data["threshold_mev"]) == ("cut", 20.0)
    assert "judged as 'cut'" in data["geometry_remark"]
    assert "'toy'" in data["geometry_remark"]
    assert data["response"]["mean"]["reference"] < plain["response"]["mean"]["reference"]
    with pytest.raises(CaloforgeError, match=r"--geometry names 'ds1-photons' \(368 voxels\).*'toy' \(40\)"):
        evaluate(generated, reference, classifiers=[], geometry="ds1-photons")


def nulls(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a report's data holds null."""
    if value is None:
        return [path]
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, entry in entries for place in nulls(entry, (*path, key))]


@pytest.mark.parametrize("fault", ["no layer 12", "constant layer 0"])
def test_every_null_of_a_report_has_a_word_why(samples: tuple[Showers, Showers], fault: str) -> None:
    def change(voxels: np.ndarray) -> None:
        part = GEOMETRY.slices[3 if fault == "no layer 12" else 0]
        voxels[:, part] = 0 if fault == "no layer 12" else 5

    data = judge((samples[0][:1200], samples[1][:1200]), change, per_energy=True)
    constants = set()
    for *above, last in nulls(data):
        beside = data
        for key in above:
            beside = beside[key]
        if last == "pull":
            assert beside["pull_word"].startswith("infinite")
            continue
        assert above[0] == "correlations", above
        entry = data["correlations"][above[1]]
        why = {entry["names"][above[3]], entry["names"][last]} & set(entry["constant"])
        assert why, above
        constants |= why
    assert constants
    rows = [row for table in report_tables(data) if table.name == "correlations_layers" for row in table.rows]
    empty = [row for row in rows if row["difference"] is None]
    assert empty
    assert all(row["unavailable"].startswith("constant in a sample: e_layer_") for row in empty)


def test_geometries_must_agree(samples: tuple[Showers, Showers]) -> None:
    other = load_geometry("ds1-photons")
    showers = Showers(np.full(10, 1e3), np.ones((10, other.n_voxels), dtype=np.float32), other)
    with pytest.raises(CaloforgeError, match=r"'ds1-photons' \(368 voxels\).*'toy' \(40 voxels\)"):
        evaluate(showers, samples[1], classifiers=[])


def test_unknown_classifier_is_named(samples: tuple[Showers, Showers]) -> None:
    with pytest.raises(CaloforgeError, match="unknown classifier 'magic'"):
        evaluate(*samples, classifiers=["magic"])


def test_classifier_stands_beside_its_floor(samples: tuple[Showers, Showers]) -> None:
    generated, reference = samples
    data = evaluate(generated[:900], reference[:900], quick=True).data
    entry = data["classifier"]["quick"]
    assert {"auc", "auc_std", "jsd", "floor_auc", "floor_auc_std", "n"} <= set(entry)
    assert abs(entry["auc"] - entry["floor_auc"]) < 0.2


def test_learning_curve_ends_in_the_test_itself(samples: tuple[Showers, Showers]) -> None:
    told: list[tuple[str, int, int]] = []
    found = evaluate(
        *(sample[:420] for sample in samples),
        quick=True,
        learning_curve=True,
        progress=lambda *step: told.append(step),
    )
    entry = found.data["classifier"]["quick"]
    curve = entry["learning_curve"]
    assert curve["n"] == [105, 210, 420]  # an eighth would be too few
    assert [curve[key][-1] for key in ("auc", "auc_std", "jsd")] == [entry[key] for key in ("auc", "auc_std", "jsd")]
    assert all(len(column) == 3 for column in curve.values())
    assert all(0 <= auc <= 1 for auc in curve["auc"])
    sections = list(dict.fromkeys(section for section, _, _ in told if section.startswith("classifier")))
    assert sections == [f"classifier quick{label}" for label in ("", " (floor)", " (105 showers)", " (210 showers)")]
    assert ("classifier quick", 0, 20) in told  # announced before its first epoch is over


def test_report_is_saved_whole_or_not_at_all(tmp_path: Path, equal: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "render", lambda report, folder: (folder / "report.html").write_text("page"))
    folder = equal.save(tmp_path / "report")
    assert json.loads((folder / "report.json").read_text()) == equal.data
    assert (folder / "report.html").read_text() == "page"

    def fail(report: Report, folder: Path) -> None:
        raise RuntimeError("no figures today")

    monkeypatch.setattr(html, "render", fail)
    with pytest.raises(RuntimeError, match="no figures"):
        equal.save(tmp_path / "report")
    assert (folder / "report.html").read_text() == "page"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report"]


def test_plain_knows_numpy_and_refuses_nan() -> None:
    mixed = {1: np.float32(0.5), "a": (np.int64(3), np.array([1.0, np.nan])), "b": True}
    assert plain(mixed) == {"1": 0.5, "a": [3, [1.0, None]], "b": True}


def test_two_independent_geant4_files_lie_at_the_floor(real: Callable[[str], Path]) -> None:
    files = (real(f"photons-atlas-like/{part}.h5") for part in ("test", "train"))
    generated, reference = (Showers.read(file, stop=4200) for file in files)
    data = evaluate(generated, reference, classifiers=[]).data
    assert data["floor"]["n"] == 2100
    for name, entry in {**data["separation_power"], "fpd": data["fpd"]}.items():
        error = np.hypot(entry["error"], entry["floor_error"])
        assert abs(entry["value_at_n"] - entry["floor"]) < 3 * error, name
    assert data["mean_separation_power"]["all"]["value"] < 0.01
    assert not [p for p in data["verdict"]["points"] if p["level"] == "bad"]
