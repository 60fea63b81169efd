"""Saving, loading and generating: seeds, streaming, provenance, and that a stranger's run cannot run code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.inference import Batch, TorchEngine
from caloforge.models.caloman import CaloMan
from caloforge.showers import Showers
from caloforge.simulator import Simulator, generate
from caloforge.transforms import build_transforms
from caloforge.zoo.model_card import Card
from caloforge.zoo.model_packing import pack
from own_model import GaussianPerFeature


@pytest.fixture
def simulator(small_geometry: Geometry, small_showers: Showers) -> Simulator:
    torch.manual_seed(0)
    chain = [
        {"kind": "readout_threshold"},
        {"kind": "incident_energy_fraction"},
        {"kind": "linear_condition"},
    ]
    x, c = torch.from_numpy(small_showers.voxels), torch.from_numpy(small_showers.energies).float()[:, None]
    transforms = build_transforms(chain, small_geometry).fit(x, c)
    return Simulator(small_geometry, transforms, CaloMan(13, 1, latent_dim=3, hidden=[8]), {"recipe": "r"})


def test_same_seed_same_showers_and_batches_differ(simulator: Simulator) -> None:
    energies = np.full(40, 200.0)
    a, b, other = (simulator.generate(energies, seed, batch_size=20).voxels for seed in (5, 5, 6))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, other)
    assert not np.array_equal(a[:20], a[20:])


def test_showers_are_cut_at_the_threshold(simulator: Simulator) -> None:
    voxels = simulator.generate(np.full(200, 400.0), 1).voxels
    assert ((voxels == 0) | (voxels >= 0.5)).all()
    assert (voxels == 0).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"latent_dim": 2}, "model.latent_dim is fixed by the training.*no sampling settings"),
        ({"flow_bound": 0.5}, "model.flow_bound is fixed by the training"),
        ({"latent_dims": 2}, "unknown key 'latent_dims'.*did you mean 'latent_dim'.*no sampling settings"),
    ],
)
def test_what_training_settled_stays(
    settings: dict[str, float], message: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.save(tmp_path / "run")
    assert "model_settings_changed" not in Simulator.load(tmp_path / "run", settings={}).provenance
    with pytest.raises(CaloforgeError, match=message):
        Simulator.load(tmp_path / "run", settings=settings)


@pytest.mark.parametrize("energy", [1e39, 1.1e15, np.nan, np.inf, 0.0])
def test_energies_that_no_particle_has(energy: float, simulator: Simulator) -> None:
    with pytest.raises(CaloforgeError, match=r"incident energy 1 is .* at most 1e\+15 MeV"):
        simulator.generate(np.array([100.0, energy]), 1)


def test_showers_in_memory_carry_what_a_file_does(simulator: Simulator, tmp_path: Path) -> None:
    """Of a fresh simulator and of a loaded one, streamed or together; the hash is that of the saved weights."""
    simulator.energy_range = (100.0, 400.0)
    simulator.save(tmp_path / "run")
    energies = np.full(25, 100.0)
    for subject in (simulator, Simulator.load(tmp_path / "run")):
        generate(subject, energies, tmp_path / "g.h5", seed=9, batch_size=10)
        expected = Showers.read(tmp_path / "g.h5").attributes
        assert expected["weights_sha256"] == Simulator.load(tmp_path / "run").provenance["weights_sha256"]
        assert json.loads(expected["energy_range_mev"]) == [100.0, 400.0]
        together = subject.generate(energies, seed=9, batch_size=10)
        for showers in (together, *subject.stream(energies, seed=9, batch_size=10)):
            showers.write(tmp_path / "h.h5")
            assert dict(Showers.read(tmp_path / "h.h5").attributes) == dict(expected)


def test_the_energy_range_is_saved_and_read_from_old_runs(simulator: Simulator, tmp_path: Path) -> None:
    simulator.energy_range = (100.0, 400.0)
    simulator.save(tmp_path)
    assert Simulator.load(tmp_path).energy_range == (100.0, 400.0)
    description = json.loads((tmp_path / "simulator.json").read_text())
    description["provenance"]["energy_range_mev"] = description.pop("energy_range_mev")
    (tmp_path / "simulator.json").write_text(json.dumps(description))
    old = Simulator.load(tmp_path)
    assert old.energy_range == (100.0, 400.0)
    assert "energy_range_mev" not in old.provenance


def test_file_carries_its_provenance(simulator: Simulator, tmp_path: Path) -> None:
    simulator.save(tmp_path / "run")
    loaded = Simulator.load(tmp_path / "run")
    timing = generate(loaded, np.full(25, 100.0), tmp_path / "g.h5", seed=9, batch_size=10)
    assert timing.n == 25
    assert timing.model > 0
    assert timing.postprocessing > 0
    assert timing.wall >= timing.model + timing.postprocessing + timing.writing
    back = Showers.read(tmp_path / "g.h5")
    assert back.geometry == simulator.geometry
    facts = back.attributes
    assert (facts["seed"], facts["batch_size"], facts["recipe"], facts["units"]) == (9, 10, "r", "MeV")
    assert len(facts["weights_sha256"]) == 64
    np.testing.assert_array_equal(back.voxels, loaded.generate(np.full(25, 100.0), 9, 10).voxels)
    assert timing.response == pytest.approx(float((back.deposited / 100).mean()))


@pytest.mark.parametrize(
    ("energies", "message"),
    [
        ([], r"shape \(N,\).*\(0,\)"),
        ([[1.0, 2.0]], r"shape \(N,\).*\(1, 2\)"),
        ([5.0, 0.0], "incident energy 1 is 0 MeV; it must be finite and above 0"),
        ([-3.0], "incident energy 0 is -3 MeV"),
        ([5.0, 6.0, float("nan")], "incident energy 2 is nan MeV"),
        ([float("inf")], "incident energy 0 is inf MeV"),
    ],
)
def test_impossible_energies_are_refused(energies: list, message: str, simulator: Simulator, tmp_path: Path) -> None:
    with pytest.raises(CaloforgeError, match=message):
        simulator.generate(np.array(energies), 1)
    with pytest.raises(CaloforgeError, match=message):
        generate(simulator, np.array(energies), tmp_path / "g.h5", seed=1)
    assert not list(tmp_path.iterdir())


def test_bad_sizes_and_seeds_are_refused(simulator: Simulator, tmp_path: Path) -> None:
    energies = np.full(3, 100.0)
    with pytest.raises(CaloforgeError, match="batch size must be at least 1, not 0"):
        simulator.generate(energies, 1, batch_size=0)
    with pytest.raises(CaloforgeError, match="seed must be at least 0, not -1"):
        simulator.generate(energies, -1)
    with pytest.raises(CaloforgeError, match="workers must be at least 1, not 0"):
        generate(simulator, energies, tmp_path / "g.h5", seed=1, workers=0)


class Spoilt(GaussianPerFeature):
    """Gives `value` to voxel 4 of row 2 of the second batch, and 1 to everything else."""

    value, calls = float("nan"), 0

    def sample(self, c: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        x = torch.ones(len(c), 13)
        if self.calls == 1:
            x[2, 4] = self.value
        self.calls += 1
        return x


@pytest.mark.parametrize(
    ("value", "remedy"),
    [("nan", "train it again"), ("inf", "train it again"), ("-2", "add the transform readout_threshold")],
)
def test_showers_that_are_no_energies_are_not_written(
    value: str, remedy: str, small_geometry: Geometry, tmp_path: Path
) -> None:
    model = Spoilt(13, 1)
    model.value = float(value)
    spoilt = Simulator(small_geometry, build_transforms([], small_geometry), model)
    expected = rf"test_simulator.Spoilt' generated shower 12 with voxel 4 at {value} MeV; nothing.*{remedy}"
    with pytest.raises(CaloforgeError, match=expected):
        generate(spoilt, np.full(30, 100.0), tmp_path / "g.h5", seed=1, batch_size=10)
    assert not list(tmp_path.iterdir())


def test_workers_do_not_change_the_showers(simulator: Simulator, tmp_path: Path) -> None:
    energies = np.linspace(50, 450, 105)
    threads = torch.get_num_threads()
    for workers in (1, 3):
        generate(simulator, energies, tmp_path / f"{workers}.h5", seed=4, batch_size=10, workers=workers)
    one, three = (Showers.read(tmp_path / f"{workers}.h5") for workers in (1, 3))
    np.testing.assert_array_equal(one.voxels, three.voxels)
    np.testing.assert_array_equal(one.energies, energies)
    assert torch.get_num_threads() == threads


def test_a_failing_worker_leaves_nothing_behind(small_geometry: Geometry, tmp_path: Path) -> None:
    spoilt = Simulator(small_geometry, build_transforms([], small_geometry), Spoilt(13, 1))
    with pytest.raises(CaloforgeError, match="nothing was written"):
        generate(spoilt, np.full(100, 100.0), tmp_path / "g.h5", seed=1, batch_size=10, workers=2)
    assert not list(tmp_path.iterdir())


def test_saved_run_holds_data_only(simulator: Simulator, tmp_path: Path) -> None:
    simulator.save(tmp_path / "run")
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"simulator.json", "weights.safetensors"}


def _save_own(folder: Path, geometry: Geometry) -> None:
    transforms = build_transforms([{"kind": "readout_threshold"}], geometry)
    Simulator(geometry, transforms, GaussianPerFeature(13, 1)).save(folder)


def test_a_class_from_outside_is_imported_only_when_named(small_geometry: Geometry, tmp_path: Path) -> None:
    _save_own(tmp_path / "run", small_geometry)
    with pytest.raises(CaloforgeError, match=r"own_model.GaussianPerFeature' is not part of caloforge.*trusted="):
        Simulator.load(tmp_path / "run")
    loaded = Simulator.load(tmp_path / "run", trusted=["own_model.GaussianPerFeature"])
    assert type(loaded.model) is GaussianPerFeature


def test_a_class_from_outside_is_packed_and_described_when_named(small_geometry: Geometry, tmp_path: Path) -> None:
    _save_own(tmp_path / "run", small_geometry)
    trusted = ["own_model.GaussianPerFeature"]
    loaded = Simulator.load(tmp_path / "run", trusted)
    loaded.energy_range = (100.0, 400.0)
    torch.nn.init.zeros_(loaded.model.get_submodule("log_std").weight)  # untrained, it overflows
    with pytest.raises(CaloforgeError, match="not part of caloforge"):
        pack(loaded, tmp_path / "not-named.zip", name="own")
    card = pack(loaded, tmp_path / "own.zip", name="own", trusted=trusted)
    assert Card.read(tmp_path / "run", trusted).parameters == card.parameters == loaded.n_parameters
    with pytest.raises(CaloforgeError, match="not part of caloforge"):
        Card.read(tmp_path / "run")


def test_a_file_is_not_a_run(simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "a.h5").touch()
    with pytest.raises(CaloforgeError, match=r"a\.h5 is a file: give the folder of a run"):
        Simulator.load(tmp_path / "a.h5")
    with pytest.raises(CaloforgeError, match=r"generate takes a run, as caloforge\.load"):
        generate("flagship-w-si", [1000.0], tmp_path / "b.h5")  # type: ignore[arg-type]
    with pytest.raises(CaloforgeError, match=r"b\.root: the format is not root; name the file b\.h5"):
        generate(simulator, [200.0], tmp_path / "b.root")


def test_a_strangers_module_is_never_imported(simulator: Simulator, tmp_path: Path) -> None:
    simulator.save(tmp_path / "run")
    description = json.loads((tmp_path / "run/simulator.json").read_text())
    for place in ("model", "transforms"):
        changed = json.loads(json.dumps(description))
        entry = changed["model"] if place == "model" else changed["transforms"][0]
        entry["kind"] = "this.Zen"  # importing the module `this` prints a poem, and shows in sys.modules
        (tmp_path / "run/simulator.json").write_text(json.dumps(changed))
        with pytest.raises(CaloforgeError, match="is not part of caloforge"):
            Simulator.load(tmp_path / "run")
    assert "this" not in sys.modules


def _without(run: Path, key: str, instead: object = None) -> None:
    """Remove an entry of the description, or replace it."""
    description = json.loads((run / "simulator.json").read_text())
    description.pop(key)
    if instead is not None:
        description[key] = instead
    (run / "simulator.json").write_text(json.dumps(description))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "simulator.json").unlink(), "contains no trained simulator"),
        (lambda run: (run / "simulator.json").write_text("{"), "is not valid JSON"),
        (lambda run: (run / "simulator.json").write_text('{"format": 99}'), "does not have format 1"),
        (lambda run: (run / "simulator.json").write_text('{"format": 1}'), "is damaged"),
        (lambda run: _without(run, "provenance"), "is damaged"),
        (lambda run: _without(run, "energy_range_mev", 5.0), "is damaged"),
        (lambda run: _without(run, "energy_range_mev", ["low", "high"]), "is damaged"),
        (lambda run: _without(run, "energy_range_mev", [400.0, 100.0]), "energy_range_mev"),
        (lambda run: (run / "weights.safetensors").unlink(), "weights.safetensors are missing: copy it"),
        (
            lambda run: ((run / "weights.safetensors").unlink(), (run / "checkpoint.pt").touch()),
            "weights.safetensors are missing: .* or finish the training with resume=True",
        ),
        (lambda run: (run / "weights.safetensors").write_bytes(b"12345678"), "is not the file saved with it"),
    ],
)
def test_damaged_runs_are_named(damage, message: str, simulator: Simulator, tmp_path: Path) -> None:
    run = tmp_path / "run"
    simulator.save(run)
    damage(run)
    with pytest.raises(CaloforgeError, match=message) as caught:
        Simulator.load(run)
    assert str(run) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_such_run(tmp_path: Path) -> None:
    with pytest.raises(CaloforgeError, match="no such run"):
        Simulator.load(tmp_path / "none")


def test_pieces_of_a_batch_make_the_same_showers(simulator: Simulator) -> None:
    batch = Batch(0, np.resize([100.0, 200.0, 400.0], 37), seed=3)
    engine = TorchEngine(simulator)
    whole = engine.generate(batch).rows
    engine.rows = 10
    np.testing.assert_allclose(engine.generate(batch).rows, whole, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_voxel_that_equals_the_threshold_stays(small_geometry: Geometry, dtype: torch.dtype) -> None:
    """And the next number below it does not, in either precision."""
    transforms = build_transforms([{"kind": "readout_threshold", "value": 0.1}], small_geometry).to(dtype)
    at = torch.tensor(0.1, dtype=dtype)
    x = torch.stack([at, torch.nextafter(at, at * 0), torch.nextafter(at, at * 2), at * 0, -at])[None]
    made, _ = transforms.inverse(x, torch.ones(1, 1, dtype=dtype))
    assert made.dtype == dtype
    assert torch.equal(made, torch.where(x < 0.1, 0.0, x))
    assert (made > 0).tolist() == [[True, False, True, False, False]]


def test_a_compiled_engine_needs_decode(small_geometry: Geometry) -> None:
    own = Simulator(small_geometry, build_transforms([], small_geometry), GaussianPerFeature(13, 1))
    with pytest.raises(CaloforgeError, match=r"draws its own noise.*the engine torch"):
        TorchEngine(own, compiled=True)


@pytest.mark.slow
def test_the_compiled_engine_makes_the_same_showers(simulator: Simulator) -> None:
    batch = Batch(0, np.resize([100.0, 200.0, 400.0], 37), seed=3)
    plain, compiled = TorchEngine(simulator), TorchEngine(simulator, compiled=True)
    compiled.rows = 10  # the last piece is short
    np.testing.assert_allclose(compiled.generate(batch).rows, plain.generate(batch).rows, atol=1e-3)


def test_an_engine_with_a_range_is_kept_to_it(simulator: Simulator, tmp_path: Path) -> None:
    engine = TorchEngine(simulator)
    engine.energy_range = (100.0, 400.0)
    energies = np.array([100.0, 250.0, 400.0])
    assert generate(simulator, energies, tmp_path / "g.h5", seed=1, engine=engine).n == 3
    for outside in (99.0, 405.0):
        energies[1] = outside
        with pytest.raises(CaloforgeError, match=f"100 MeV … 400 MeV only, not {outside:g} MeV"):
            generate(simulator, energies, tmp_path / "h.h5", seed=1, engine=engine)
    assert not (tmp_path / "h.h5").exists()
