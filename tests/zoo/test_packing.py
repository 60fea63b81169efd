"""Packed runs: they generate what the run does, without what only training uses; damaged ones are refused."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import numpy as np
import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.locations import DESCRIPTION
from caloforge.simulator import Simulator
from caloforge.simulator.packing import PACKED_FROM, rounded, save_packed, without_training_parts
from caloforge.simulator.stored import MOST_UNPACKED, PACKED_WEIGHTS
from caloforge.training.carried import InitialRun
from caloforge.zoo import model_packing as packing
from caloforge.zoo.model_packing import difference_of

ENERGIES = np.linspace(100.0, 400.0, 50)


def test_without_rounding_the_showers_are_the_same_to_the_last_bit(small_run: Simulator, tmp_path: Path) -> None:
    packed = save_packed(small_run, tmp_path / "packed", half=False)
    np.testing.assert_array_equal(packed.generate(ENERGIES, 1).voxels, small_run.generate(ENERGIES, 1).voxels)
    assert packed.n_parameters == small_run.n_parameters // 2  # a student is as large as its teacher


def test_half_precision_keeps_showers_and_their_sums(small_run: Simulator, tmp_path: Path) -> None:
    packed = save_packed(small_run, tmp_path / "packed")
    first, second = (run.generate(ENERGIES, 1) for run in (small_run, packed))
    np.testing.assert_allclose(second.deposited, first.deposited, rtol=2e-3)
    assert 0 < difference_of(small_run, packed) < packing.TOLERANCE
    assert difference_of(small_run, small_run) == 0


def test_only_weights_and_large_tables_are_rounded(small_run: Simulator) -> None:
    halves = {name for name, value in rounded(small_run).items() if value.dtype == torch.float16}
    assert halves == {f"model.{name}" for name, _ in small_run.model.named_parameters()}
    with torch.no_grad():
        next(small_run.model.parameters())[0] = 1e6  # more than float16 holds
    assert len([value for value in rounded(small_run).values() if value.dtype == torch.float16]) == len(halves) - 1


def test_the_run_that_is_packed_stays_as_it_is(small_run: Simulator, tmp_path: Path) -> None:
    small_run.save(tmp_path / "run")
    run = Simulator.load(tmp_path / "run")
    packed = save_packed(run, tmp_path / "packed")
    assert packed.provenance[PACKED_FROM] == run.provenance["weights_sha256"] != packed.provenance["weights_sha256"]
    assert "models.voxels.velocity.first.weight" in run.model.state_dict()


def test_a_part_that_was_left_out_says_so(small_run: Simulator, tmp_path: Path) -> None:
    packed = save_packed(small_run, tmp_path / "packed")
    with pytest.raises(CaloforgeError, match=r"does not contain 'models.layers.velocity', which this sampler needs"):
        Simulator.load(tmp_path / "packed", settings={"layers": {"sampler": "teacher"}})
    with pytest.raises(CaloforgeError, match=r"models\.layers\.velocity.*take the run it was packed from"):
        packed.model.models["layers"].velocity(torch.zeros(1, 3))


def test_a_packed_run_may_be_saved_and_packed_again(small_run: Simulator, tmp_path: Path) -> None:
    packed = save_packed(small_run, tmp_path / "packed")
    packed.save(tmp_path / "saved")
    again = save_packed(Simulator.load(tmp_path / "saved"), tmp_path / "again")
    np.testing.assert_array_equal(again.generate(ENERGIES, 1).voxels, packed.generate(ENERGIES, 1).voxels)


def test_teacher_or_student_is_left_out_by_the_sampler(small_run: Simulator, tmp_path: Path) -> None:
    small_run.save(tmp_path / "run")
    teacher = Simulator.load(tmp_path / "run", settings={"voxels": {"sampler": "teacher"}})
    made = without_training_parts(teacher)
    left = {name for name in made.model.state_dict() if name.startswith("models.voxels.")}
    assert left
    assert not any("student" in name for name in left)
    np.testing.assert_array_equal(made.generate(ENERGIES, 1).voxels, teacher.generate(ENERGIES, 1).voxels)


def test_a_training_does_not_start_from_a_packed_run(small_run: Simulator, tmp_path: Path) -> None:
    packed = save_packed(small_run, tmp_path / "packed")
    for source in (packed, tmp_path / "packed"):
        with pytest.raises(CaloforgeError, match=r"is a packed run without 'models\.layers\.velocity'"):
            InitialRun.of(source)


def _described(folder: Path, **changes: object) -> None:
    path = folder / DESCRIPTION
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _replaced(folder: Path, content: bytes) -> None:
    import hashlib

    (folder / PACKED_WEIGHTS).write_bytes(content)
    _described(folder, weights_sha256=hashlib.sha256(content).hexdigest())


def test_damaged_weights_are_one_line(small_run: Simulator, tmp_path: Path) -> None:
    folder = tmp_path / "packed"
    save_packed(small_run, folder)
    whole = (folder / PACKED_WEIGHTS).read_bytes()
    (folder / PACKED_WEIGHTS).write_bytes(whole[:-1])
    with pytest.raises(CaloforgeError, match=r"weights.safetensors.xz is not the file saved with it"):
        Simulator.load(folder)
    for content, message in ((whole[:-20], "cut short"), (b"no archive", "damaged"), (lzma.compress(b"x"), "damaged")):
        _replaced(folder, content)
        with pytest.raises(CaloforgeError, match=message) as error:
            Simulator.load(folder)
        assert "\n" not in str(error.value)


def test_weights_that_unpack_without_end_are_refused(
    small_run: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_packed(small_run, tmp_path / "packed")
    assert MOST_UNPACKED >= 2**30
    monkeypatch.setattr("caloforge.simulator.stored.MOST_UNPACKED", 2**24)
    _replaced(tmp_path / "packed", lzma.compress(bytes(2**24 + 1), preset=1))
    with pytest.raises(CaloforgeError, match="more than 16,777,216 bytes"):
        Simulator.load(tmp_path / "packed")


def test_parts_that_are_none_are_refused(small_run: Simulator, tmp_path: Path) -> None:
    save_packed(small_run, tmp_path / "packed")
    for path, message in (("hierarchy", "this sampler needs"), ("nowhere.at.all", "has no part 'nowhere.at.all'")):
        _described(tmp_path / "packed", absent=[path])
        with pytest.raises(CaloforgeError, match=message):
            Simulator.load(tmp_path / "packed")
