"""Latency and memory of exported graphs in C++, by the client in examples/cpp: the table of docs/export.md.

    python benchmarks/cpp_client.py flagship-atlas-like flagship-w-si
    python benchmarks/cpp_client.py RUN -n 100

Builds the client and exports the runs in the format onnx, unless they are in the folder already, then times single
showers on one thread, with and without onnxruntime's optimisation of the graph in turn.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import caloforge as cf
from caloforge.export.graph import export_graph

SOURCES = Path(__file__).parents[1] / "examples" / "cpp"
NUMBERS = re.compile(
    r"opened in (?P<opened>\S+) ms; per shower: median (?P<median>\S+) ms, fastest (?P<fastest>\S+) ms\n"
    r"memory of the first session: (?P<first>\S+) MB, of each further one (?P<further>\S+) MB"
)


def library() -> str:
    """Folder of onnxruntime: ONNXRUNTIME_ROOT, or that of the wheel's library."""
    wheel = importlib.util.find_spec("onnxruntime")
    assert wheel is not None, "install the extra onnx"
    assert wheel.origin is not None
    return os.environ.get("ONNXRUNTIME_ROOT") or str(Path(wheel.origin).parent / "capi")


def built(folder: Path) -> Path:
    """The client."""
    build = folder / "client"
    for words in (["-S", SOURCES, "-B", build, f"-DONNXRUNTIME_ROOT={library()}"], ["--build", build]):
        subprocess.run(["cmake", *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    return build / "shower"


def exported(name: str, folder: Path) -> tuple[Path, float]:
    """The graph of a run, and an energy in the middle of its range in MeV."""
    run = cf.load(name)
    assert run.energy_range is not None
    low, high = run.energy_range
    path = folder / f"{Path(name).name}.onnx"
    if not path.exists():
        export_graph(run, "onnx", path)
    return path, (low * high) ** 0.5


def measured(program: Path, graph: Path, energy: float, n: int, optimised: bool) -> dict[str, float]:
    """Numbers of one process, by their names in `NUMBERS`."""
    words = ["--energy", f"{energy:.6g}", "-n", str(n), "--seed", "1", "--sessions", "4"]
    words += [] if optimised else ["--no-optimisation"]
    done = subprocess.run([program, graph, *words], check=True, capture_output=True, text=True)
    found = NUMBERS.search(done.stdout)
    assert found is not None, done.stdout
    return {name: float(text) for name, text in found.groupdict().items()}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("runs", nargs="+", help="trained models or folders of runs")
    arguments.add_argument("-n", type=int, default=300, help="showers of a process")
    arguments.add_argument("--processes", type=int, default=3, help="of each row; their median is printed")
    arguments.add_argument("-o", "--out", type=Path, default=Path("build/cpp"), help="folder of client and graphs")
    chosen = arguments.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    program = built(chosen.out)
    graphs = {name: exported(name, chosen.out) for name in chosen.runs}
    print("| model | optimisation | ms per shower | fastest | ms to open | MB per session | first session |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name, (graph, energy) in graphs.items():
        rows: dict[bool, list[dict[str, float]]] = {True: [], False: []}
        for _ in range(chosen.processes):
            for optimised, found in rows.items():
                found.append(measured(program, graph, energy, chosen.n, optimised))
        for optimised, found in rows.items():
            middle = {key: statistics.median(each[key] for each in found) for key in found[0]}
            fastest = min(each["fastest"] for each in found)
            print(
                f"| `{name}` | {'on' if optimised else 'off'} | {middle['median']:.2f} | {fastest:.2f} | "
                f"{middle['opened']:.0f} | {middle['further']:.0f} | {middle['first']:.0f} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
