"""Draw peak memory of trainings against the number of showers, from results of `benchmarks/streaming.py`.

    python benchmarks/memory_figure.py "scratch files=a/streaming.json" "in memory=b/streaming.json" -o figure.svg

Each argument is a label and a file; the size of the data as float32 is drawn beside them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", help="LABEL=FILE")
    parser.add_argument("-o", "--out", type=Path, required=True)
    chosen = parser.parse_args()
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    sizes: dict[int, float] = {}
    for result in chosen.results:
        label, _, file = result.partition("=")
        rows = json.loads(Path(file).read_text())["rows"]
        sizes |= {row["n"]: row["data_gb"] for row in rows}
        axes.plot([row["n"] for row in rows], [row["peak_gb"] for row in rows], "o-", label=label)
    numbers = sorted(sizes)
    axes.plot(numbers, [sizes[n] for n in numbers], "k:", label="size of the data")
    axes.set(xscale="log", xlabel="showers", ylabel="GB", ylim=(0, None))
    axes.legend(frameon=False)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(chosen.out, metadata={"Date": None} if chosen.out.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
