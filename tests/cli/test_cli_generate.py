"""`caloforge generate` and `caloforge merge`: files kept and replaced, shards, stopping, and what cannot be right."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from caloforge.cli import app
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.models.caloman import CaloMan
from caloforge.models.caloscore import CaloScore
from caloforge.showers import ShowerFile, Showers
from caloforge.simulator import Simulator
from caloforge.transforms import build_transforms

SPECTRUM = "list:100,200,400"


def save_run(folder: Path, geometry: Geometry, showers: Showers, **provenance: Any) -> Path:
    torch.manual_seed(0)
    chain = [{"kind": "readout_threshold"}, {"kind": "incident_energy_fraction"}, {"kind": "linear_condition"}]
    x, c = torch.from_numpy(showers.voxels), torch.from_numpy(showers.energies).float()[:, None]
    transforms = build_transforms(chain, geometry).fit(x, c)
    facts = {"recipe": "tiny", "energy_range_mev": [100.0, 400.0], **provenance}
    Simulator(geometry, transforms, CaloMan(13, 1, latent_dim=3, hidden=[8], flow_layers=2), facts).save(folder)
    return folder


@pytest.fixture
def run(tmp_path: Path, small_geometry: Geometry, small_showers: Showers) -> Path:
    return save_run(tmp_path / "run", small_geometry, small_showers)


def invoke(*words: object) -> Any:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [*map(str, words)])


def done(*words: object) -> str:
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result.output


def fails(*words: object) -> str:
    result = invoke(*words)
    assert isinstance(result.exception, CaloforgeError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_an_existing_file_is_kept_unless_it_may_be_replaced(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "g.h5"
    done("generate", run, "--energies", SPECTRUM, "-n", 30, "-o", out)
    before = out.read_bytes()
    assert f"{out} exists: give another output or --overwrite" in fails(
        "generate", run, "--energies", SPECTRUM, "-o", out
    )
    assert out.read_bytes() == before
    done("generate", run, "--energies", SPECTRUM, "-n", 12, "-o", out, "--overwrite")
    assert len(Showers.read(out)) == 12


def test_says_where_the_time_went(run: Path, tmp_path: Path) -> None:
    printed = done("generate", run, "--energies", SPECTRUM, "-n", 3000, "-o", tmp_path / "g.h5")
    line = next(line for line in printed.splitlines() if line.startswith("3,000 showers in "))
    for part in ("model ", "postprocessing ", "writing "):
        assert part in line


def test_showers_of_a_broken_model_are_refused_and_absurd_ones_remarked(
    small_geometry: Geometry, small_showers: Showers, tmp_path: Path
) -> None:
    run = save_run(tmp_path / "run", small_geometry, small_showers)
    simulator = Simulator.load(run)
    last = simulator.model.autoencoder.decoder[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(50.0)  # fifty times the largest deposited energy, in each of 13 voxels
    simulator.save(tmp_path / "absurd")
    printed = invoke("generate", tmp_path / "absurd", "--energies", SPECTRUM, "-o", tmp_path / "a.h5")
    assert printed.exit_code == 0
    assert "warning: the mean E_dep / E_inc is" in printed.stderr
    assert "untrained" in printed.stderr
    with torch.no_grad():
        last.bias.fill_(float("nan"))
    simulator.save(tmp_path / "nan")
    assert "the model 'caloman' generated shower 0 with voxel 0 at nan MeV" in fails(
        "generate", tmp_path / "nan", "--energies", SPECTRUM, "-o", tmp_path / "n.h5"
    )
    assert not list(tmp_path.glob("*n.h5*"))


def test_shards_are_the_sample_cut_into_parts(run: Path, tmp_path: Path) -> None:
    whole = Showers.read(_made(run, tmp_path / "whole.h5", "-n", 50))
    parts = [Showers.read(_made(run, tmp_path / f"{k}.h5", "-n", 50, "--shard", f"{k}/4")) for k in range(4)]
    assert [len(part) for part in parts] == [12, 13, 12, 13]
    np.testing.assert_array_equal(np.concatenate([part.energies for part in parts]), whole.energies)
    voxels = np.concatenate([part.voxels for part in parts])
    assert len(np.unique(voxels, axis=0)) > 45  # no shard repeats another's noise; a few showers are all zero
    again = Showers.read(_made(run, tmp_path / "again.h5", "-n", 50, "--shard", "2/4", "--workers", 2))
    np.testing.assert_array_equal(again.voxels, parts[2].voxels)
    other = Showers.read(_made(run, tmp_path / "other.h5", "-n", 50, "--shard", "2/4", "--seed", 2))
    assert not np.array_equal(other.voxels, parts[2].voxels)


def _made(run: Path, out: Path, *words: object) -> Path:
    done("generate", run, "--energies", SPECTRUM, "-o", out, *words)
    return out


def test_random_energies_differ_from_shard_to_shard(run: Path, tmp_path: Path) -> None:
    spectrum = "uniform:100:400"
    for k in range(2):
        done("generate", run, "--energies", spectrum, "-n", 2000, "--shard", f"{k}/2", "-o", tmp_path / f"{k}.h5")
    first, second = (Showers.read(tmp_path / f"{k}.h5").energies for k in range(2))
    assert not np.intersect1d(first, second).size
    for energies in (first, second):
        assert abs(energies.mean() - 250) < 5 * (300 / 12**0.5) / 1000**0.5


def test_energies_like_a_files_are_shared_out_exactly(run: Path, small_showers: Showers, tmp_path: Path) -> None:
    small_showers.write(tmp_path / "like.h5")
    spectrum = f"like:{tmp_path / 'like.h5'}"
    for n, name in ((1300, "many"), (600, "same"), (250, "few")):  # twice and a bit, once, and less than the file
        done("generate", run, "--energies", spectrum, "-n", n, "--seed", 3, "-o", tmp_path / f"{name}.h5")
        done("generate", run, "--energies", spectrum, "-n", n, "--seed", 3, "--shards", 7, "-o", tmp_path / name)
        done("merge", tmp_path / name, "-o", tmp_path / f"{name}-merged.h5")
        whole, merged = (Showers.read(tmp_path / f"{name}{end}.h5").energies for end in ("", "-merged"))
        np.testing.assert_array_equal(merged, whole)


def test_a_folder_of_shards_is_resumed_and_merged(run: Path, tmp_path: Path) -> None:
    words = ["generate", run, "--energies", SPECTRUM, "-n", 30, "--shards", 3, "-o", tmp_path / "parts"]
    done(*words)
    first, second, third = sorted((tmp_path / "parts").iterdir())
    assert [path.name for path in (first, second, third)] == [f"shard-{k}-of-3.h5" for k in range(3)]
    assert f"{first} exists" in fails(*words)
    expected, second_stamp = Showers.read(second).voxels, first.stat().st_mtime_ns
    second.unlink()
    printed = done(*words, "--resume")
    assert f"kept {first}: already complete" in printed
    assert f"wrote {second}" in printed
    assert first.stat().st_mtime_ns == second_stamp
    np.testing.assert_array_equal(Showers.read(second).voxels, expected)
    # In any order; what all have in common is kept, and what tells them apart is not.
    printed = done("merge", third, first, second, "-o", tmp_path / "m.h5")
    assert "30 showers from 3 files" in printed
    with ShowerFile(tmp_path / "m.h5") as file:
        merged, facts = file.read(), file.attributes
    np.testing.assert_array_equal(merged.voxels[10:20], expected)
    assert (facts["seed"], facts["energies"], facts["merged_files"]) == (1, SPECTRUM, 3)
    assert not {"shard", "shards"} & set(facts)


def test_merge_refuses_what_does_not_belong_together(run: Path, small_showers: Showers, tmp_path: Path) -> None:
    folder, out = tmp_path / "parts", tmp_path / "m.h5"
    done("generate", run, "--energies", SPECTRUM, "-n", 30, "--shards", 3, "-o", folder)
    a, b, c = sorted(folder.iterdir())
    assert "shards missing: 1 of 3" in fails("merge", a, c, "-o", out)
    assert "are the same shard" in fails("merge", a, b, b, c, "-o", out)
    done("generate", run, "--energies", SPECTRUM, "-n", 30, "--seed", 2, "--shard", "1/3", "-o", tmp_path / "b2.h5")
    assert "are shards of different samples: seed differs" in fails("merge", a, tmp_path / "b2.h5", c, "-o", out)
    small_showers.write(tmp_path / "plain.h5")
    assert "plain.h5 is not" in fails("merge", a, b, c, tmp_path / "plain.h5", "-o", out)
    assert f"{run} contains no shards" in fails("merge", run, "-o", out)
    assert "is one of the files to merge" in fails("merge", a, b, c, "-o", b, "--overwrite")
    assert "exists: give another output or --overwrite" in fails("merge", a, b, c, "-o", tmp_path / "b2.h5")
    other = Showers(np.full(3, 9.0), np.zeros((3, 368), dtype=np.float32), _photons())
    other.write(tmp_path / "photons.h5")
    assert "has geometry 'ds1-photons', but" in fails(
        "merge", tmp_path / "plain.h5", tmp_path / "photons.h5", "-o", out
    )
    assert not out.exists()
    done("generate", run, "--energies", SPECTRUM, "-n", 5, "-o", tmp_path / "whole.h5")
    said = done("merge", tmp_path / "plain.h5", tmp_path / "whole.h5", "-o", tmp_path / "both.h5")
    assert "warning: the files differ in" in said
    assert "engine" in said
    assert "differ" not in done("merge", tmp_path / "whole.h5", tmp_path / "whole.h5", "-o", tmp_path / "twice.h5")
    done("merge", a, c, "--incomplete", "-o", out)
    assert len(Showers.read(out)) == 20


def _photons() -> Geometry:
    from caloforge.geometry import load_geometry

    return load_geometry("ds1-photons")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shard", "3/3"], "shard 3/3 does not exist: N shards are counted 0/N … (N-1)/N"),
        (["--shard", "one"], "'one' is not a valid shard"),
        (["--shard", "0/2", "--shards", "2"], "--shard generates one part and --shards all of them"),
        (["--shards", "9"], "is empty"),
        (["--resume", "--overwrite"], "mutually exclusive"),
        (["--batch-size", str(10**20)], "the batch size must be less than 2^63"),
    ],
)
def test_mistakes(words: list[str], message: str, run: Path, tmp_path: Path) -> None:
    assert message in fails("generate", run, "--energies", SPECTRUM, "-o", tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


def test_resume_keeps_only_what_was_asked_for(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "g.h5"
    done("generate", run, "--energies", SPECTRUM, "-n", 30, "-o", out)
    assert "already complete" in done("generate", run, "--energies", SPECTRUM, "-n", 30, "-o", out, "--resume")
    again = ["generate", run, "--energies", SPECTRUM, "-o", out, "--resume"]
    assert "(seed is 1, not 2): give another output or --overwrite" in fails(*again, "-n", 30, "--seed", 2)
    assert "has 30 showers, not 31" in fails(*again, "-n", 31)
    with h5py.File(out, "r+") as file:
        file.attrs["engine"] = "compile"
    assert "(engine is 'compile', not 'torch')" in fails(*again, "-n", 30)


@pytest.fixture
def diffusion(tmp_path: Path, small_geometry: Geometry, small_showers: Showers) -> Path:
    """A run whose sampler has settings."""
    torch.manual_seed(0)
    chain = [{"kind": "readout_threshold"}, {"kind": "incident_energy_fraction"}, {"kind": "linear_condition"}]
    x, c = torch.from_numpy(small_showers.voxels), torch.from_numpy(small_showers.energies).float()[:, None]
    transforms = build_transforms(chain, small_geometry).fit(x, c)
    model = CaloScore(13, 1, geometry=small_geometry, network="mlp", width=8, blocks=1, embedding=8, steps=4)
    facts = {"recipe": "tiny", "energy_range_mev": [100.0, 400.0]}
    Simulator(small_geometry, transforms, model, facts).save(tmp_path / "diffusion")
    return tmp_path / "diffusion"


def test_showers_of_another_setting_are_another_sample(diffusion: Path, tmp_path: Path) -> None:
    run = diffusion
    words = ["generate", run, "--energies", SPECTRUM, "-n", 30, "--set", "model.steps=3"]
    done(*words, "-o", tmp_path / "g.h5")
    assert "already complete" in done(*words, "-o", tmp_path / "g.h5", "--resume")
    message = fails("generate", run, "--energies", SPECTRUM, "-n", 30, "-o", tmp_path / "g.h5", "--resume")
    assert "model_settings_changed" in message
    done(*words, "-o", tmp_path / "a.h5", "--shard", "0/2")
    done("generate", run, "--energies", SPECTRUM, "-n", 30, "-o", tmp_path / "b.h5", "--shard", "1/2")
    assert "model_settings_changed differs" in fails(
        "merge", tmp_path / "a.h5", tmp_path / "b.h5", "-o", tmp_path / "c.h5"
    )


def test_settings_of_a_diffusion_model(diffusion: Path, tmp_path: Path, small_geometry: Geometry) -> None:
    words = ["generate", diffusion, "--energies", SPECTRUM, "--set", "model.sampler=predictor_corrector"]
    for name, snr in (("a", 0.1), ("b", 0.3)):
        done(*words, "--set", "model.steps=3", "--set", f"model.snr={snr}", "-o", tmp_path / f"{name}.h5")
    a, b = (ShowerFile(tmp_path / f"{name}.h5", small_geometry).read() for name in ("a", "b"))
    assert (a.voxels != b.voxels).any()
    for wrong, message in (
        (["model.sampler=magic"], "'magic'"),
        (["model.sampler=ddim", "model.snr=0.1"], "model.snr is fixed by the training, or not used in sampling"),
        (["model.predicts=velocity"], "model.predicts is fixed"),
    ):
        options = [word for setting in wrong for word in ("--set", setting)]
        assert message in fails(*words, *options, "-o", tmp_path / "g.h5")


def test_a_model_without_a_sampler_says_so(run: Path, tmp_path: Path) -> None:
    message = fails("generate", run, "--energies", SPECTRUM, "--set", "model.steps=3", "-o", tmp_path / "g.h5")
    assert "unknown key 'steps'" in message
    assert "no sampling settings" in message


def test_more_showers_than_memory(run: Path, tmp_path: Path) -> None:
    for spectrum in (SPECTRUM, "list:100", "uniform:100:200"):
        words = ["generate", run, "--energies", spectrum, "-n", 10**18, "-o", tmp_path / "g.h5"]
        assert "do not fit into memory: split the sample (--shards)" in fails(*words)


def test_sigterm_tidies_up(run: Path, tmp_path: Path) -> None:
    """A batch system's signal leaves neither the file nor a part of it."""
    folder = tmp_path / "out"
    words = ["generate", run, "--energies", SPECTRUM, "-n", 3_000_000, "--batch-size", 500, "-o", folder / "g.h5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "caloforge", *map(str, words)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    end = time.monotonic() + 60
    while not list(folder.glob(".*.part")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(0.2)  # into the batches
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr.decode().rstrip().endswith("caloforge: interrupted")
    assert not list(folder.iterdir())
