"""All families of generators on one sample, by one command each, under one judge (docs/results.md).

    python benchmarks/zoo.py train.h5 test.h5 -o build/zoo                    # hours; what is finished is not repeated
    python benchmarks/zoo.py train.h5 test.h5 -o build/zoo --only vae-ds1-photons-small --seeds 3 --write
    python benchmarks/zoo.py train.h5 test.h5 -o build/zoo --table            # tables and figure of what is there

Each recipe is trained on all of train.h5, generates as many showers as are judged, at the incident energies of the
first of test.h5, is evaluated against these with as many of train.h5 as baseline, and timed with one thread. With
--seeds 3, recipes that train within ten minutes are trained with three seeds. --write puts what a recipe reached into
its file (`expected:`).
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from matplotlib.figure import Figure

from caloforge import Showers
from caloforge.formatting import with_error
from caloforge.locations import is_run, list_recipes
from caloforge.training import find_recipe, load_recipe
from caloforge.training.expected import expected_of, history_of

OTHERS = ("flagship", "flagship-fast", "caloman-ds1-photons")
"""Recipes in the table besides the small ones."""

QUICK_S = 600
"""A recipe that trains within so many seconds is trained with several seeds."""

BULK = 1000


def recipes() -> list[str]:
    return [*OTHERS, *(name for name in list_recipes() if name.endswith("-ds1-photons-small"))]


def command(*words: object) -> None:
    """Run caloforge in a process of its own; ends where it fails."""
    subprocess.run([sys.executable, "-m", "caloforge", *map(str, words)], check=True)


@dataclass(frozen=True)
class Member:
    """A recipe of the table, and the folder of all that is made with it."""

    recipe: str
    folder: Path

    def run(self, seed: int = 1) -> Path:
        return self.folder / "runs" / f"seed-{seed}"

    def report(self, seed: int = 1) -> Path:
        return self.folder / f"report-{seed}" / "report.json"

    @property
    def seeds(self) -> list[int]:
        """Seeds that are trained and evaluated."""
        numbers = [int(path.name.removeprefix("report-")) for path in self.folder.glob("report-*")]
        return sorted(seed for seed in numbers if is_run(self.run(seed)) and self.report(seed).exists())

    @property
    def finished(self) -> bool:
        return bool(self.seeds) and self.times.exists()

    @property
    def times(self) -> Path:
        return self.folder / "times.json"

    def provenance(self, seed: int = 1) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run(seed) / "simulator.json").read_text())["provenance"]
        return found

    def training_s(self) -> float:
        return float(sum(self.provenance()["training_seconds"].values()))

    def make(self, train: Path, judged: Path, baseline: Path, seeds: int, classifiers: str) -> None:
        """Train, generate, evaluate and time what is not there yet."""
        for wanted in dict.fromkeys((1, seeds)):
            if wanted > 1 and self.training_s() > QUICK_S:
                break
            if not is_run(self.run(wanted)):
                again = ["--resume"] if (self.folder / "runs").exists() else []
                command("train", self.recipe, "--train", train, "-o", self.folder / "runs", "--seeds", wanted, *again)
            for seed in range(1, wanted + 1):
                self._judge(seed, judged, baseline, classifiers)
        if not self.times.exists():
            command("benchmark", self.run(), "--batches", f"1,{BULK}", "-o", self.times)

    def _judge(self, seed: int, judged: Path, baseline: Path, classifiers: str) -> None:
        if self.report(seed).exists():
            return
        made = self.folder / f"generated-{seed}.h5"
        if not made.exists():
            command("generate", self.run(seed), "--energies", f"like:{judged}", "--seed", seed, "-o", made)
        words = ["--reference", judged, "--baseline", baseline, "--classifiers", classifiers]
        command("evaluate", made, *words, "--overwrite", "-o", self.report(seed).parent)
        made.unlink()


Metric = dict[str, Any]


def metric(report: Path, section: str, name: str) -> Metric:
    """A number of a report, over all energies."""
    for each in json.loads(report.read_text())["metrics"]:
        if (each["section"], each["name"]) == (section, name) and not each.get("at"):
            return dict(each)
    raise SystemExit(f"{report} has no {section} of {name}: remove its folder, to evaluate again")


QUALITY = (
    ("mean separation power", "mean_separation_power", "all", 1.0),
    ("AUC `trees`", "auc", "trees", 1.0),
    ("AUC `caloman`", "auc", "caloman", 1.0),
    ("AUC `challenge_high`", "auc", "challenge_high", 1.0),
    ("FPD × 10³", "fpd", "fpd", 1.0),
    ("precision", "prdc", "precision", 1.0),
    ("recall", "prdc", "recall", 1.0),
    ("coverage", "prdc", "coverage", 1.0),
)


def cell(found: Metric, scale: float, which: str = "") -> str:
    value = found.get("baseline") if which else found.get("value_at_n", found.get("value"))
    error = found.get("baseline_error" if which else "error")
    return "" if value is None else with_error(scale * value, None if error is None else scale * error)


def separation(member: Member) -> float:
    return float(metric(member.report(), "mean_separation_power", "all")["value"])


def quality(members: Sequence[Member], classifiers: str) -> Iterator[str]:
    """Lines of the table of quality, the baseline first and then from the best to the worst."""
    columns = [c for c in QUALITY if c[1] != "auc" or c[2] in classifiers.split(",")]
    yield "| " + " | ".join(["", *(title for title, *_ in columns)]) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    cells = [cell(metric(members[0].report(), section, name), scale, "baseline") for _, section, name, scale in columns]
    yield f"| Geant4 (baseline) | {' | '.join(cells)} |"
    for member in sorted(members, key=separation):
        cells = [cell(metric(member.report(), section, name), scale) for _, section, name, scale in columns]
        yield f"| `{member.recipe}` | {' | '.join(cells)} |"


def times_of(member: Member) -> tuple[float, float, float]:
    """ms per shower at batch 1 and in bulk, and peak memory in MB."""
    found = json.loads(member.times.read_text())
    ms = {row["batch"]: row["ms"]["torch"]["median"] for row in found["generator"]}
    return ms[1], ms[BULK], found["peak_memory_mb"]["after_a_batch"]


def cost(members: Sequence[Member]) -> Iterator[str]:
    """Lines of the table of cost."""
    yield f"| | weights | training, min | peak memory of it, GB | ms per shower, batch 1 | batch {BULK} | memory, MB |"
    yield "|---|---|---|---|---|---|---|"
    for member in members:
        one, bulk, memory = times_of(member)
        facts = member.provenance()
        weights = json.loads(member.times.read_text())["simulator"]["n_parameters"]
        yield (
            f"| `{member.recipe}` | {weights:,} | {member.training_s() / 60:.0f} | "
            f"{facts['peak_memory_mb'] / 1e3:.1f} | {one:.3g} | {bulk:.3g} | {memory:.0f} |"
        )


def draw(members: Sequence[Member], path: Path) -> None:
    """AUC of the trees against the time per shower, in bulk and at batch 1."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for member in members:
        one, bulk, _ = times_of(member)
        auc = metric(member.report(), "auc", "trees")
        axes.plot([bulk, one], [auc["value"]] * 2, "-", color="0.7", linewidth=1, zorder=1)
        axes.errorbar(bulk, auc["value"], auc.get("error"), fmt="o", color="C0", markersize=4)
        axes.plot(one, auc["value"], "o", color="C0", markersize=4, fillstyle="none")
        axes.annotate(
            re.sub("-ds1-photons(-small)?", "", member.recipe),
            (bulk, auc["value"]),
            textcoords="offset points",
            xytext=(4, 4),
            fontsize="small",
        )
    floor = metric(members[0].report(), "auc", "trees")["baseline"]
    axes.axhline(floor, color="k", linestyle=":", label="Geant4 against Geant4")
    axes.set(xscale="log", xlabel=f"ms per shower: batches of {BULK} (full), single showers (open)")
    axes.set_ylabel("AUC of trees")
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def expectation(member: Member, sample: str, showers: int) -> str:
    """The block `expected:` of a recipe, as YAML."""
    seeds = member.seeds
    settings = load_recipe(member.recipe).training
    own = expected_of([history_of(member.run(seed)) for seed in seeds], settings, sample, showers)
    for title, section, name, _ in QUALITY[:2]:
        found = [metric(member.report(seed), section, name) for seed in seeds]
        values = [float(each["value"]) for each in found]
        error = statistics.stdev(values) if len(values) > 1 else found[0].get("error")
        numbers = [statistics.fmean(values), *([] if error is None else [error])]
        own.evaluation[title.replace("`", "")] = [float(f"{value:.3g}") for value in numbers]
    plain = own.model_dump()
    return yaml.safe_dump({"expected": plain}, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)


def write(recipe: str, block: str) -> None:
    """Put the block at the end of a recipe's file, in place of an earlier one."""
    path = find_recipe(recipe)
    text = re.sub(r"\nexpected:\n(?:[ #].*\n?|\n)*\Z", "\n", path.read_text(encoding="utf-8"))
    path.write_text(text.rstrip("\n") + "\n" + block, encoding="utf-8")


def first(source: Path, path: Path, n: int) -> Path:
    """The first n showers of a file."""
    if not path.exists():
        Showers.read(source, stop=n).write(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("build/zoo"))
    parser.add_argument("--only", default="", help="recipes, separated by commas")
    parser.add_argument("-n", "--showers", type=int, default=5005, help="per sample that is judged")
    parser.add_argument("--seeds", type=int, default=1, help="of recipes that train within ten minutes")
    parser.add_argument("--classifiers", default="caloman,challenge_high,trees")
    parser.add_argument("--sample", default="photons in atlas-like from Geant4", help="the training showers, in words")
    parser.add_argument("--table", action="store_true", help="make nothing: only tables and figure")
    parser.add_argument("--write", action="store_true", help="put what recipes reached into their files")
    given = parser.parse_args()
    members = [Member(name, given.out / name) for name in (given.only.split(",") if given.only else recipes())]
    given.out.mkdir(parents=True, exist_ok=True)
    failed = []
    if not given.table:
        judged = first(given.test, given.out / "judged.h5", given.showers)
        baseline = first(given.train, given.out / "baseline.h5", given.showers)
        for member in members:
            print(f"== {member.recipe}", flush=True)
            try:
                member.make(given.train, judged, baseline, given.seeds, given.classifiers)
            except subprocess.CalledProcessError as error:
                failed.append(member.recipe)
                print(f"{member.recipe}: {error}", file=sys.stderr, flush=True)
    finished = [member for member in members if member.finished]
    if finished:
        table = "\n".join([*quality(finished, given.classifiers), "", *cost(finished)])
        (given.out / "table.md").write_text(table + "\n", encoding="utf-8")
        draw(finished, given.out / "quality-time.svg")
        print(table)
    for member in finished if given.write else ():
        showers = len(Showers.read(given.train))
        write(member.recipe, expectation(member, given.sample, showers))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; repeat the command to go on")


if __name__ == "__main__":
    main()
