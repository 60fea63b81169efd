"""Training from scratch files: weights as in memory, bounded memory, files in parts, resumption."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from caloforge.cli import app
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, Layer
from caloforge.models import dataset
from caloforge.networks.standardise import Standardise
from caloforge.showers import ShowerFiles, Showers, matching_files
from caloforge.simulator import Simulator
from caloforge.training import Callback, Trainer, budget, load_recipe, train, training_set
from caloforge.training.scratch import ScratchRows
from caloforge.training.store import Store, scratch_folder

TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 64, "learning_rate": 1e-2, "device": "cpu"}
CONDITION = {"kind": "linear_condition"}
FRACTION = {"kind": "incident_energy_fraction"}
LEVEL = {"kind": "flow_matching", "width": 8, "blocks": 1, "steps": 2, "student_strides": 1, "student_pairs": 2}
UNET: dict[str, Any] = {"channels": [2, 4], "kernel": 3, "pooling": [[2]], "embedding": 4, "standardise": "each"}
MODELS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "caloman": (
        [FRACTION, {"kind": "append_deposited_energy"}, CONDITION],
        {
            "kind": "caloman",
            "latent_dim": "auto",
            "hidden": [8],
            "flow_layers": 1,
            "flow_width": 8,
            "standardised_encoder": True,
        },
    ),
    "flagship": (
        [{"kind": "readout_threshold"}],
        {"kind": "cascade", "layers": LEVEL, "rings": LEVEL, "voxels": LEVEL, "knots": 4, "hits": True},
    ),
    "caloscore": ([FRACTION, {"kind": "logit"}, CONDITION], {"kind": "caloscore", **UNET}),
    "wgan-gp": ([FRACTION, CONDITION], {"kind": "wgan_gp", **UNET}),
}


@pytest.fixture
def recipe(small_geometry: Geometry) -> Callable[..., dict[str, Any]]:
    def build(name: str, **training: Any) -> dict[str, Any]:
        transforms, model = MODELS[name]
        plain = {"name": name, "geometry": small_geometry.to_dict(), "transforms": transforms, "model": model}
        return {**plain, "training": TRAINING | training}

    return build


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits so small that 600 showers of 13 voxels are many."""
    monkeypatch.setattr(dataset, "STATISTIC_VALUES", 5000)
    monkeypatch.setattr(dataset, "PIECE_VALUES", 1000)


def _weights(run: Simulator) -> dict[str, torch.Tensor]:
    return {f"model.{k}": v for k, v in run.model.state_dict().items()} | dict(run.transforms.state_dict())


def _same(a: Simulator, b: Simulator) -> None:
    weights = _weights(b)
    for name, value in _weights(a).items():
        assert torch.equal(value, weights[name]), name


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("name", MODELS)
def test_scratch_files_give_the_weights_of_memory(
    name: str, recipe: Callable[..., dict[str, Any]], small_showers: Showers, tmp_path: Path
) -> None:
    small_showers.write(tmp_path / "train.h5")
    select = {"stages": {"density": {"select": "separation_power", "select_showers": 200}}} if name == "caloman" else {}
    in_memory = train(recipe(name, **select), tmp_path / "train.h5", tmp_path / "a")
    found: list[bool] = []

    class Watch(Callback):
        def epoch_done(self, trainer: Trainer) -> None:
            found.append(any((tmp_path / "b.scratch").glob("*.rows")))

    streamed = train(recipe(name, memory_gb=0, **select), tmp_path / "train.h5", tmp_path / "b", callbacks=[Watch()])
    assert found
    assert all(found)
    assert not (tmp_path / "b.scratch").exists()
    _same(in_memory, streamed)
    energies = np.array([100.0, 300.0])
    assert np.array_equal(in_memory.generate(energies, 1).voxels, streamed.generate(energies, 1).voxels)
    assert 0 <= streamed.provenance["waiting_for_data"] <= 1


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("memory_gb", [0, 1])
def test_data_of_a_stage_are_given_up_at_its_end(
    memory_gb: float, recipe: Callable[..., dict[str, Any]], small_showers: Showers
) -> None:
    """Not only when Python next looks for circles of references: until then they would take memory or disk."""
    found: list[int] = []

    class Count(Callback):
        def stage_done(self, trainer: Trainer) -> None:
            kept = [each for each in gc.get_objects() if type(each) in (ScratchRows, dataset.MemoryRows)]
            found.append(sum(type(each) is not ScratchRows or hasattr(each, "_file") for each in kept))

    gc.collect()
    gc.disable()
    try:
        train(recipe("flagship", memory_gb=memory_gb, clip_norm=1.0), small_showers, callbacks=[Count()])
    finally:
        gc.enable()
    assert len(found) > 2
    assert set(found[1:]) == {found[0]}


def test_files_in_parts_are_one_sample(
    recipe: Callable[..., dict[str, Any]], small_showers: Showers, tmp_path: Path
) -> None:
    small_showers.write(tmp_path / "whole.h5")
    small_showers[:240].write(tmp_path / "part_1.h5", {"seed": 1, "particle": "e-"})
    small_showers[240:].write(tmp_path / "part_2.h5", {"seed": 2, "particle": "e-"})
    whole = train(recipe("caloman"), tmp_path / "whole.h5")
    for parts in ([tmp_path / "part_1.h5", tmp_path / "part_2.h5"], str(tmp_path / "part_*.h5")):
        run = train(recipe("caloman", memory_gb=0), parts)
        _same(whole, run)
        assert run.provenance["training_file"] == "part_1.h5, part_2.h5"
        assert run.provenance["training_fingerprint"] == whole.provenance["training_fingerprint"]
        assert run.provenance["particle"] == "e-"


def test_reading_parts(small_showers: Showers, tmp_path: Path) -> None:
    for number, part in enumerate((small_showers[:100], small_showers[100:101], small_showers[101:])):
        part.write(tmp_path / f"{number}.h5", {"particle": "e-", "seed": number})
    with ShowerFiles(matching_files([tmp_path / "?.h5"])) as files:
        assert files.read() == small_showers
        assert files.read(99, 103) == small_showers[99:103]
        assert files.read(0, 0) == small_showers[:0]
        assert np.array_equal(np.concatenate([part.voxels for part in files.chunks(64)]), small_showers.voxels)
        assert np.array_equal(files.energies(), small_showers.energies)
        assert files.attributes["particle"] == "e-"
        assert "seed" not in files.attributes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("energies", ["1.h5", "2.h5", "incident energies", "1000 times lower"]),
        ("spectrum", ["1.h5", "2.h5", "incident energies"]),
        ("geometry", ["2.h5", "geometry", "other"]),
        ("attribute", ["1.h5", "2.h5", "'particle'", "e-", "gamma"]),
        ("twice", ["1.h5", "twice"]),
        ("nothing", ["no file matches", "x*.h5"]),
    ],
)
def test_files_that_disagree_are_refused(
    change: str,
    words: list[str],
    recipe: Callable[..., dict[str, Any]],
    small_geometry: Geometry,
    small_showers: Showers,
    tmp_path: Path,
) -> None:
    small_showers.write(tmp_path / "1.h5", {"particle": "e-"})
    energies, geometry, particle = small_showers.energies, small_geometry, "e-"
    if change == "energies":
        energies = energies / 1000
    elif change == "spectrum":
        energies = np.where(energies > 300, 200.0, energies)
    elif change == "geometry":
        layers = [Layer(0, (0, 5, 10, 30), 1), Layer(1, (0, 10, 40), 4), Layer(7, (0, 50, 101), 1)]
        geometry = Geometry("other", tuple(layers), threshold=0.5)
    elif change == "attribute":
        particle = "gamma"
    Showers(energies, small_showers.voxels, geometry).write(tmp_path / "2.h5", {"particle": particle})
    second = {"twice": "1.h5", "nothing": "x*.h5"}.get(change, "2.h5")
    with pytest.raises(CaloforgeError) as caught:
        train(recipe("caloman"), [tmp_path / "1.h5", tmp_path / second], tmp_path / "run")
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "run.scratch").exists()


SCRIPT = """
import sys
from caloforge.training import Callback, load_recipe, stage_run, train
stage_run.CHECKPOINT_SECONDS = 0.0

class Kill(Callback):
    def batch_done(self, trainer):
        if trainer.stage.name == "density" and trainer.epoch == 1:
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)

train(load_recipe("recipe.yaml", ["training.memory_gb=0"]), "train.h5", "run", callbacks=[Kill()])
"""


@pytest.mark.skipif(os.name != "posix", reason="this system cannot kill a process with SIGKILL")
def test_a_killed_run_goes_on_with_its_scratch_files(
    recipe: Callable[..., dict[str, Any]],
    small_showers: Showers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    monkeypatch.chdir(tmp_path)
    small_showers.write("train.h5")
    Path("recipe.yaml").write_text(load_recipe(recipe("caloman")).to_yaml())
    killed = subprocess.run([sys.executable, "-c", SCRIPT], check=False)
    assert killed.returncode == -signal.SIGKILL
    scratch = scratch_folder(Path("run"))
    assert (scratch / "showers.rows").stat().st_size == 4 * 600 * 14
    monkeypatch.setattr(training_set._Reader, "_load", lambda *_: pytest.fail("the showers are converted again"))
    resumed = train("recipe.yaml", "train.h5", "run", training={"memory_gb": 0}, resume=True)
    monkeypatch.undo()
    _same(resumed, train(recipe("caloman"), small_showers))
    assert not scratch.exists()


def test_an_interrupted_run_keeps_its_scratch_files_and_a_new_one_starts_afresh(
    recipe: Callable[..., dict[str, Any]], small_showers: Showers, tmp_path: Path
) -> None:
    small_showers.write(tmp_path / "train.h5")

    class Interrupt(Callback):
        def batch_done(self, trainer: Trainer) -> None:
            raise KeyboardInterrupt

    class Fail(Callback):
        def batch_done(self, trainer: Trainer) -> None:
            raise CaloforgeError("failed")

    run, scratch = tmp_path / "run", tmp_path / "run.scratch"
    arguments = recipe("caloman", memory_gb=0), tmp_path / "train.h5", run
    with pytest.raises(KeyboardInterrupt):
        train(*arguments, callbacks=[Interrupt()])
    assert (scratch / "showers.rows").exists()
    (scratch / "showers.rows").write_bytes(b"damaged")  # converted anew
    with pytest.raises(KeyboardInterrupt):
        train(*arguments, callbacks=[Interrupt()], resume=True)
    (scratch / "7.rows").touch()
    with pytest.raises(CaloforgeError, match="failed"):
        train(*arguments, callbacks=[Fail()], overwrite=True)
    assert not scratch.exists()


def test_memory_is_estimated_and_refused(
    recipe: Callable[..., dict[str, Any]], small_showers: Showers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[budget.MemoryEstimate] = []

    class Watch(Callback):
        def training_started(self, trainer: Trainer) -> None:
            assert trainer.memory is not None
            seen.append(trainer.memory)

    for memory_gb in (None, 0):
        train(recipe("flagship", memory_gb=memory_gb, clip_norm=1.0), small_showers, callbacks=[Watch()])
    in_memory, streamed = seen
    assert in_memory.kept >= 600 * 4 * 2 * 13 > streamed.kept
    assert in_memory.scratch == 0 < streamed.scratch
    assert in_memory.total > in_memory.batch > 0
    # What a student learns from is drawn once, and has to be kept.
    assert in_memory.needed_on_disk == 0 < streamed.needed_on_disk <= streamed.scratch
    assert streamed.stage_on_disk.endswith("_student")
    small_showers.write(tmp_path / "train.h5")
    needed = int(streamed.needed_on_disk)
    for free, enough in ((needed - 1, False), (needed + 1, True)):
        monkeypatch.setattr(Store, "free_disk", lambda self, free=free: free)
        refused = pytest.raises(CaloforgeError, match=r"_student' will take .* free for scratch")
        with nullcontext() if enough else refused:
            train(recipe("flagship", memory_gb=0), tmp_path / "train.h5", tmp_path / f"run-{free}")
        assert (tmp_path / f"run-{free}").exists() == enough
    monkeypatch.setattr(budget, "free_memory", lambda: 1e6)
    monkeypatch.setattr(budget, "PROGRAM_BYTES", 2e6)
    with pytest.raises(CaloforgeError, match="memory") as caught:
        train(recipe("flagship", batch_size=100_000), small_showers, tmp_path / "run")
    assert "batch_size lower" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_disk_that_is_too_small(
    recipe: Callable[..., dict[str, Any]], small_showers: Showers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scratch files are refused before they are begun; deterministic maps are evaluated for each batch instead."""
    small_showers.write(tmp_path / "train.h5")
    monkeypatch.setattr(Store, "free_disk", lambda self: 0)
    with pytest.raises(CaloforgeError, match=r"training\.memory_gb"):
        train(recipe("caloman", memory_gb=0), tmp_path / "train.h5", tmp_path / "run")
    assert not list(tmp_path.glob("run*"))
    losses: list[list[float]] = []

    class Losses(Callback):
        def epoch_done(self, trainer: Trainer) -> None:
            losses[-1].append(trainer.record["validation_loss"])

    for settings in ({"memory_gb": 0}, {}):
        losses.append([])
        train(recipe("caloman", **settings), small_showers, callbacks=[Losses()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)  # codes of 64 showers are rounded unlike those of 600


def test_scratch_rows(tmp_path: Path) -> None:
    """Rows come back in any order, runs of neighbours too; background reading keeps the order of the batches."""
    generator = torch.Generator().manual_seed(0)
    x, c = torch.randn(50, 2, 3, generator=generator), torch.arange(50.0)[:, None]
    rows = ScratchRows(tmp_path / "rows", 50, x, c)
    rows.write(20, x[20:], c[20:])
    rows.write(0, x[:20], c[:20])
    for wanted in (slice(None), slice(3, 40, 7), torch.tensor([4, 5, 6, 2, 49, 0, 1]), torch.tensor([], dtype=int)):
        found = rows.read(wanted)
        assert torch.equal(found[0], x[wanted])
        assert torch.equal(found[1], c[wanted])
    order = torch.randperm(50, generator=generator).split(8)
    for part, (found_x, _) in zip(order, rows.stream(order), strict=True):
        assert torch.equal(found_x, x[part])
    again = ScratchRows(tmp_path / "rows", 50, x[:0], c[:0], written=True)
    assert torch.equal(again.read(slice(None))[0], x)
    os.truncate(tmp_path / "rows", 100)
    with pytest.raises(CaloforgeError, match="shorter"):
        rows.read(slice(None))


@pytest.mark.parametrize("by", ["each", "all"])
def test_constants_in_passes(by: Any) -> None:
    x = 1e3 + torch.randn(1000, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2, 0, 1e-2, 10])
    whole, passes = Standardise(5, by), Standardise(5, by)
    whole.fit(x.double())
    passes.fit_chunks(x.split(300))
    for a, b in zip(whole.constants(), passes.constants(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=0)


def test_several_files_on_the_command_line(
    recipe: Callable[..., dict[str, Any]], small_showers: Showers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a shell expands a glob; what a training needs and how long it waited are printed."""
    monkeypatch.chdir(tmp_path)
    small_showers[:300].write("part_1.h5")
    small_showers[300:].write("part_2.h5")
    Path("recipe.yaml").write_text(load_recipe(recipe("caloman")).to_yaml())
    words = ["train", "--train", "part_1.h5", "part_2.h5", "recipe.yaml", "-o", "run", "--set", "training.memory_gb=0"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert re.search(r"needs about \d+\.\d GB of memory .* in scratch files", result.output)
    assert re.search(r"waiting for data \d+\.\d%", result.output)
    assert Simulator.load("run").provenance["training_file"] == "part_1.h5, part_2.h5"
    records = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    assert all(0 <= record["data_seconds"] <= record["seconds"] for record in records)
