"""Peak memory and time of trainings against the number of showers (docs/scale.md).

    python benchmarks/streaming.py --geometry ds2 -n 1000,2000,5000,10000,20000 --memory-gb 0 --tiny -o build/streaming

The showers are analytic (Grindhammer and Peters), 2 500 of them, enlarged by rotations in alpha by whole bins and by
mirror images, and written gzip-compressed. Each training is a process of its own: its peak memory is what the system
says at its end. `--tiny` takes networks so small that the time goes to the data; `--source` is a checkout to compare
with. Files of showers and runs are removed at the end, unless `--keep`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from caloforge.energies import parse_spectrum
from caloforge.geometry import Geometry, load_geometry
from caloforge.showers import Showers, ShowerWriter
from caloforge.sources.parametric.electromagnetic import ParametricShowers

ORIGINALS = 2500
"""Showers that are really simulated."""

LEVELS = ("layers", "rings", "multipoles", "voxels")


def tiny(model: dict[str, Any]) -> list[str]:
    """Overrides that make the networks of a recipe's model small."""
    if model["kind"] == "cascade":
        small: dict[str, Any] = {"width": 8, "hidden": 8, "blocks": 1, "steps": 1}
        return [f"model.{level}.{key}={value}" for level in LEVELS if level in model for key, value in small.items()]
    return ["model.hidden=[16]", "model.flow_width=8", "model.flow_layers=1"]


def enlarged(geometry: Geometry, n: int, seed: int) -> Iterator[Showers]:
    """n showers, a few hundred at a time: originals, rotated and mirrored in alpha. Energies are those of any seed."""
    layers, (bins, rings) = geometry.n_layers, geometry.layers[0].shape
    spectrum = parse_spectrum("loguniform:1GeV:1TeV")
    energies = spectrum.draw(min(n, ORIGINALS), np.random.default_rng(1))
    source = ParametricShowers.for_geometry(geometry)
    originals = list(source.simulate(energies, geometry, seed, 250))
    done = 0
    for copy in range(-(-n // len(energies))):
        turn, mirror = copy // 2 % bins, copy % 2
        for part in originals:
            voxels = np.roll(part.voxels.reshape(-1, layers, bins, rings), turn, axis=2)
            voxels = voxels[:, :, ::-1] if mirror else voxels
            part = Showers.unchecked(part.energies, voxels.reshape(len(part), -1), geometry)[: n - done]
            if len(part):
                yield part
            done += len(part)


def write(path: Path, geometry: Geometry, n: int) -> None:
    """A file of n showers."""
    with ShowerWriter(path, geometry, {"source": "analytic, NOT Geant4", "particle": "e-"}) as out:
        for part in enlarged(geometry, n, seed=1):
            out.append(part.energies, part.voxels)


def trained(command: list[str], source: Path | None) -> dict[str, float]:
    """Run a training; its peak memory in GB, its wall-clock time and that of all its threads in s."""
    environment = dict(os.environ) | ({} if source is None else {"PYTHONPATH": str(source / "src")})
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the training failed with status {process.returncode}")
    cpu = usage.ru_utime + usage.ru_stime
    return {"peak_gb": usage.ru_maxrss * 1024 / 1e9, "wall_s": time.monotonic() - started, "cpu_s": cpu}


def of_log(run: Path) -> dict[str, Any]:
    """Seconds in epochs, in all and for each stage, and the share of them waiting for data."""
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    seconds = sum(record["seconds"] for record in records)
    waited = [record["data_seconds"] for record in records if "data_seconds" in record]
    stages: dict[str, float] = {}
    for record in records:
        stages[record["stage"]] = stages.get(record["stage"], 0) + record["seconds"]
    return {"epochs_s": seconds, "stages_s": stages} | ({"waiting": sum(waited) / seconds} if waited else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="flagship")
    parser.add_argument("--geometry", default="ds2")
    parser.add_argument("-n", "--showers", default="1000,2000,5000,10000")
    parser.add_argument("--memory-gb", default="", help="training.memory_gb, several separated by commas")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--source", type=Path, help="another checkout, for comparison")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("-o", "--out", type=Path, default=Path("build/streaming"))
    arguments = parser.parse_args()
    from caloforge.training import load_recipe

    recipe = load_recipe(arguments.recipe, [f"geometry={arguments.geometry}"])
    words = [f"geometry={arguments.geometry}", f"training.epochs={arguments.epochs}"]
    words += [f"training.stages.{name}.epochs={arguments.epochs}" for name in recipe.training.stages]
    words += [*(tiny(recipe.model) if arguments.tiny else ()), *arguments.overrides]
    arguments.out.mkdir(parents=True, exist_ok=True)
    geometry, found = load_geometry(arguments.geometry), []
    file, run = arguments.out / "showers.h5", arguments.out / "run"
    for n in map(int, arguments.showers.split(",")):
        kept = arguments.out / f"{arguments.geometry}-{n}.h5"
        if not kept.exists():
            write(file, geometry, n)
            file.rename(kept)
        for limit in arguments.memory_gb.split(","):
            command = [sys.executable, "-m", "caloforge", "train", arguments.recipe, "--train", str(kept)]
            command += ["-o", str(run), "--overwrite", *(f"--set={word}" for word in words)]
            command += [f"--set=training.memory_gb={limit}"] if limit else []
            row: dict[str, Any] = {"n": n, "memory_gb": limit or None, "data_gb": 4e-9 * n * geometry.n_voxels}
            row |= trained(command, arguments.source) | of_log(run)
            found.append(row)
            print(json.dumps(row), flush=True)
            shutil.rmtree(run)
        if not arguments.keep:
            kept.unlink()
    plain = {"command": sys.argv, "source": str(arguments.source or ""), "rows": found}
    (arguments.out / "streaming.json").write_text(json.dumps(plain, indent=1) + "\n")


if __name__ == "__main__":
    main()
