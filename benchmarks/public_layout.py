"""Time and peak memory of the main job on files of the size and layout of the public data sets 2 and 3.

    python benchmarks/public_layout.py ds2    # dataset_2_1.hdf5, 100 000 showers of 6 480 voxels
    python benchmarks/public_layout.py ds3    # dataset_3_1.hdf5 and dataset_3_2.hdf5, 50 000 of 40 500 each

The showers are analytic, enlarged by rotations and mirror images, written as float64 with gzip and the chunks that h5py
chooses. Then `check`, `train` (one epoch per stage), `generate`, `evaluate --quick` and `dimension` run one after the
other, each as a process. All files are removed at the end, unless `--keep`; files that are there are used again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
from streaming import enlarged

from caloforge.geometry import Geometry, load_geometry
from caloforge.training import load_recipe

LAYOUTS = {"ds2": ("dataset_2_{}.hdf5", 1), "ds3": ("dataset_3_{}.hdf5", 2)}
"""Data set → names of its files for training, and their number."""


def write(path: Path, geometry: Geometry, n: int, seed: int) -> None:
    """A file with the layout of the challenge."""
    partial = path.with_suffix(".partial")
    with h5py.File(partial, "w") as file:
        energies = file.create_dataset("incident_energies", (n, 1), "f8", compression="gzip")
        voxels = file.create_dataset("showers", (n, geometry.n_voxels), "f8", compression="gzip", chunks=True)
        step, done, waiting = voxels.chunks[0], 0, []
        for part in enlarged(geometry, n, seed):
            waiting.append(part)
            if sum(map(len, waiting)) >= step or done + sum(map(len, waiting)) == n:
                block = np.concatenate([each.voxels for each in waiting])
                energies[done : done + len(block), 0] = np.concatenate([each.energies for each in waiting])
                voxels[done : done + len(block)] = block
                done, waiting = done + len(block), []
        chunks = voxels.chunks
    partial.rename(path)
    print(f"{path}: {n} showers, chunks {chunks}, {path.stat().st_size / 1e9:.2f} GB", flush=True)


def timed(name: str, command: list[str], n: int) -> None:
    """Run a command of caloforge; print what it took."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "caloforge", *command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"{name} failed")
    row = {"command": name, "n": n, "peak_gb": round(usage.ru_maxrss * 1024 / 1e9, 2)}
    row |= {"wall_s": round(time.monotonic() - started), "cpu_s": round(usage.ru_utime + usage.ru_stime)}
    print(json.dumps(row), flush=True)


def epochs(run: Path) -> dict[str, float]:
    """Stage → seconds of its epoch."""
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {record["stage"]: round(record["seconds"], 1) for record in records}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("geometry", choices=list(LAYOUTS))
    parser.add_argument("-n", type=int, default=100_000, help="showers to train on, in all files together")
    parser.add_argument("--recipe", default="flagship-fast")
    parser.add_argument("--memory-gb", default="1", help="training.memory_gb")
    parser.add_argument("--generated", type=int, default=2000)
    parser.add_argument("--only", default="check,train,generate,evaluate,dimension")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("-o", "--out", type=Path, default=Path("build/public"))
    chosen = parser.parse_args()
    geometry = load_geometry(chosen.geometry)
    chosen.out.mkdir(parents=True, exist_ok=True)
    pattern, parts = LAYOUTS[chosen.geometry]
    files = [chosen.out / pattern.format(k + 1) for k in range(parts)]
    for k, file in enumerate(files):
        if not file.exists():
            write(file, geometry, chosen.n // parts, k + 1)
    run, generated, report = chosen.out / "run", chosen.out / "generated.h5", chosen.out / "report"
    recipe = load_recipe(chosen.recipe, [f"geometry={chosen.geometry}"])
    words = [f"geometry={chosen.geometry}", "training.epochs=1", f"training.memory_gb={chosen.memory_gb}"]
    words += [f"training.stages.{name}.epochs=1" for name in recipe.training.stages]
    words += chosen.overrides
    names = [str(file) for file in files]
    commands = {
        "check": ["check", names[0], "-g", chosen.geometry],
        "train": ["train", chosen.recipe, "--train", *names, "-o", str(run), *(f"--set={word}" for word in words)],
        "generate": ["generate", str(run), "--energies", "loguniform:1GeV:1TeV", "-n", str(chosen.generated)],
        "evaluate": ["evaluate", str(generated), "--reference", names[-1], "--quick", "-o", str(report)],
        "dimension": ["dimension", names[0], "-g", chosen.geometry],
    }
    commands["train"] += ["--overwrite"]
    commands["generate"] += ["-o", str(generated), "--overwrite"]
    commands["evaluate"] += ["--overwrite"]
    for name in chosen.only.split(","):
        timed(name, commands[name], chosen.n)
        if name == "train":
            print(json.dumps(epochs(run)), flush=True)
    if not chosen.keep:
        shutil.rmtree(chosen.out)


if __name__ == "__main__":
    main()
