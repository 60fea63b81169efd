"""The speed table of the documentation: CaloMan as published, a lower bound, onnxruntime and nflows, in one run.

The network is that of the recipe `caloman-ds1-photons` with the given flow width and fresh weights, which take as long
as trained ones; the preprocessing is fitted to the embedded showers. Prints the table as Markdown.

    python benchmarks/speed.py --nflows FOLDER     # where nflows is: pip install --no-deps --target FOLDER nflows
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from caloforge.models.caloman import CaloMan
from caloforge.showers import Showers
from caloforge.simulator import Simulator
from caloforge.sources.sample import sample_path
from caloforge.training import load_recipe
from caloforge.transforms import build_transforms

RECIPE = "caloman-ds1-photons"


def save_fresh(folder: Path, width: int) -> None:
    """A run of the recipe's network without training."""
    recipe = load_recipe(RECIPE)
    showers = Showers.read(sample_path("train"), stop=1000)
    x, c = torch.from_numpy(showers.voxels), torch.from_numpy(showers.energies).float()[:, None]
    transforms = build_transforms(recipe.transforms, showers.geometry).fit(x, c)
    features = transforms(x, c)[0].shape[1]
    settings = {key: value for key, value in recipe.model.items() if key != "kind"} | {"flow_width": width}
    torch.manual_seed(1)
    model = CaloMan(features, 1, **settings)
    energies = [float(showers.energies.min()), float(showers.energies.max())]
    Simulator(showers.geometry, transforms, model, {"recipe": RECIPE, "energy_range_mev": energies}).save(folder)


def markdown(found: dict) -> str:
    """The table, one row per batch and number of threads."""
    names = list(found["generator"][0]["ms"])
    ours = [name for name in names if name not in ("model", "lower_bound", "nflows")]
    ratios = [f"nflows / {name}" for name in ours] if "nflows" in names else []
    titles = [
        "threads",
        "batch",
        *(name.replace("_", " ") for name in names),
        "torch / lower bound",
        "postprocessing",
        *ratios,
    ]
    lines = ["| " + " | ".join(titles) + " |"]
    lines.append("|" + " --- |" * len(titles))
    for row in found["generator"]:
        ms = {name: spread["median"] for name, spread in row["ms"].items()}

        def ratio(over: str, under: str, ms: dict[str, float] = ms) -> str:
            return f"{ms[over] / ms[under]:.2f}" if over in ms and under in ms else "-"

        cells = [str(row["threads"]), str(row["batch"]), *(f"{ms[name]:.4g}" for name in names)]
        cells += [ratio("torch", "lower_bound"), f"{100 * row['postprocessing']:.0f} %"]
        cells += [ratio("nflows", name) for name in ours] if ratios else []
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=256, help="of the flow's networks")
    parser.add_argument("--nflows", type=Path, help="folder that nflows is in; left out without")
    parser.add_argument("--threads", default="1,all")
    parser.add_argument("--out", "-o", type=Path, default=Path("build/benchmark.json"))
    given = parser.parse_args()
    engines, reference = [], []
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401

        engines = ["--engines", "onnx,onnx-int8"]
    except ImportError:
        print("onnxruntime is not installed, left out: pip install 'caloforge[onnx]'")
    if given.nflows is not None and (given.nflows / "nflows").is_dir():
        reference = ["--reference", "nflows", "--reference-path", str(given.nflows)]
    else:
        print("nflows was not found, left out: pip install --no-deps --target FOLDER nflows, and --nflows FOLDER")
    with tempfile.TemporaryDirectory() as folder:
        save_fresh(Path(folder) / "run", given.width)
        command = [sys.executable, "-W", "ignore", "-m", "caloforge", "benchmark", f"{folder}/run"]
        command += ["--threads", given.threads, "--overwrite", "-o", str(given.out)]
        command += ["--plot", str(given.out.with_suffix(".png"))]
        subprocess.run([*command, *engines, *reference], check=True)
    print(markdown(json.loads(given.out.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
