"""`caloforge benchmark`: what a shower costs, beside the floor, peers and Geant4."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from rich.table import Table

    from caloforge.simulator import Simulator
    from caloforge.sources.geant4.simulation import SimulationRequest
    from caloforge.timing import Geant4Comparison
    from caloforge.timing.scan import Call, Scan


FIGURES = (".png", ".pdf", ".svg")


def benchmark(
    run: Path = typer.Argument(..., help="Folder that `caloforge train` wrote."),
    against: str | None = typer.Option(
        None, "--against", metavar="geant4", help="Time Geant4 too, at the same energies on the same core."
    ),
    batches: str | None = typer.Option(
        None,
        "--batches",
        help="Showers per call of the generator, by commas; by default 1,100,10000, against Geant4 1,1000.",
    ),
    threads: str = typer.Option("1", "--threads", help="Threads, by commas, as in 1,all; against Geant4 always 1."),
    engines: str = typer.Option("", "--engines", help="Time these too, by commas: onnx, onnx-int8, compile."),
    peer: str | None = typer.Option(
        None, "--peer", metavar="nflows", help="Time CaloMan with its flow by nflows too, if that can be imported."
    ),
    peer_path: Path | None = typer.Option(None, "--peer-path", metavar="DIR", help="Folder that the peer is in."),
    plot: Path | None = typer.Option(
        None, "--plot", metavar="FILE", help="Figure of time against batch: png, pdf or svg."
    ),
    energies: str | None = typer.Option(
        None,
        "--energies",
        "-e",
        metavar="LIST",
        help="list:256,...,16384; by default 7 from end to end of the training range.",
    ),
    n: int = typer.Option(20, "-n", min=2, help="Geant4 showers per energy."),
    detector: str | None = typer.Option(
        None,
        "--detector",
        "-d",
        help="Of Geant4, as in `caloforge simulate geant4`; by default the shipped one that the run learnt from.",
    ),
    particle: str | None = typer.Option(
        None, "--particle", "-p", help="Of Geant4; by default that of the training showers."
    ),
    geant4_data: Path | None = typer.Option(
        None, "--geant4-data", metavar="DIR", help="Folder of Geant4's data sets; else its variables say."
    ),
    seed: int = typer.Option(1, "--seed", min=0, help="Of the showers, on both sides."),
    out: Path | None = typer.Option(None, "--out", "-o", metavar="FILE", help="JSON file for all the numbers."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace files of those names."),
    trust: list[str] = typer.Option(
        [], "--trust", metavar="CLASS", help="Dotted path of a class of your own that the run may import. Repeatable."
    ),
) -> None:
    """Measure ms per shower of a trained run beside its floor and its peers or, with --against geant4, beside Geant4.

    A generator's time goes from incident energies to voxels in MeV, the undoing of the preprocessing included: the
    median of repeated calls. All candidates take their turns in this one command; one thread is timed by its CPU clock,
    several by the clock on the wall. Geant4's time is the mean CPU time of its events, without its initialisation.

    Columns: torch is `generate` as it is; model the same without undoing the preprocessing; floor the bare matrix
    products of the same network; onnx, onnx-int8 and compile are the other engines; graph and graph-int8 are
    onnxruntime's part of the two, noise and energies lying ready, which is what a C++ program waits for; nflows is
    torch with the flow by that library.

    Example: caloforge benchmark run --engines onnx,onnx-int8 --peer nflows --peer-path peers -o benchmark.json

    Example: caloforge benchmark run --against geant4 --batches 1,1000 -n 20 -o benchmark.json
    """
    from caloforge.cli.console import stderr, stdout
    from caloforge.errors import CaloforgeError
    from caloforge.files import prepare_parent, refuse_existing, write_json
    from caloforge.registry import importable
    from caloforge.simulator import Simulator
    from caloforge.timing import machine

    if against not in (None, "geant4"):
        raise CaloforgeError(f"--against is geant4, not '{against}'")
    for option, given in (("--detector", detector), ("--particle", particle), ("--geant4-data", geant4_data)):
        if given is not None and against is None:
            raise CaloforgeError(f"{option} is Geant4's: add --against geant4")
    for option, asked in (("--engines", engines), ("--peer", peer), ("--peer-path", peer_path), ("--plot", plot)):
        if asked and against is not None:
            raise CaloforgeError(f"{option} does not go with --against geant4: run the command twice")
    sizes = _sizes(batches or ("1,100,10000" if against is None else "1,1000"))
    for path in (out, plot):
        if path is not None:
            prepare_parent(path)
            refuse_existing(path, overwrite)
    if plot is not None and plot.suffix.lower() not in FIGURES:
        raise CaloforgeError(f"--plot {plot} is no figure that can be written: name it {', '.join(FIGURES)}")
    with importable(Path.cwd()):
        simulator = Simulator.load(run, trust)
    law, values = _energies(energies, simulator.energy_range)
    facts = machine()
    result: dict[str, Any] = {
        "command": shlex.join(["caloforge", *sys.argv[1:]]),
        "simulator": _describe(simulator),
        "machine": facts,
        "seed": seed,
        "unit": "ms per shower",
    }
    if against is None:
        others = _others(simulator, engines, peer, peer_path)
        result |= _scan(simulator, values, sizes, _threads(threads, facts), others, seed, plot)
        loaded, made = _memory(run, sizes[-1], trust)
        result |= {"peak_memory_mb": {"loaded": loaded, "batch": sizes[-1], "after_a_batch": made}}
        stdout.print(f"peak memory of a process that makes {sizes[-1]} at once: {made:.0f} MB (loaded: {loaded:.0f})")
    else:
        result |= _against_geant4(simulator, _request(simulator, detector, particle, law, geant4_data, seed), n, sizes)
    stdout.print(f"{simulator.n_parameters:,} parameters; {facts['processor']}, torch {facts['torch']}", markup=False)
    if (facts["load_average"] or 0.0) > (facts["cores"] or 1):
        load = f"load {facts['load_average']:.1f} on {facts['cores']} cores"
        stderr.print(f"note: the machine is busy ({load}), which lengthens CPU times too; ratios suffer less")
    if out is not None:
        write_json(out, result)
        stdout.print(f"wrote {out}", markup=False)


def _others(
    simulator: Simulator, engines: str, peer: str | None, path: Path | None
) -> Callable[[int], dict[str, Call]]:
    """Number of threads → what is timed besides the torch engine, name → call."""
    from caloforge.errors import CaloforgeError
    from caloforge.export.engines import ENGINES, make_engine
    from caloforge.inference import TorchEngine
    from caloforge.timing.reference_implementations import nflows_caloman

    def timed(name: str, threads: int) -> dict[str, Call]:
        engine = make_engine(name, simulator, threads)
        if isinstance(engine, TorchEngine):
            return {name: engine.generate}
        return {name: engine.generate, name.replace("onnx", "graph"): engine.run_graph}

    known = ENGINES[1:]  # torch is timed anyway
    chosen = [word.strip() for word in engines.split(",") if word.strip()]
    for word in chosen:
        if word not in known:
            raise CaloforgeError(f"--engines knows {', '.join(known[:-1])} and {known[-1]}, not '{word}'")
    peers: dict[str, Call] = {}
    if peer is not None:
        if peer != "nflows":
            raise CaloforgeError(f"--peer is nflows, not '{peer}'")
        peers["nflows"] = nflows_caloman(simulator, path)
    elif path is not None:
        raise CaloforgeError("--peer-path says where the peer is: add --peer nflows")

    def calls(threads: int) -> dict[str, Call]:
        made = [timed(word, threads) for word in chosen]
        return {name: call for part in (*made, peers) for name, call in part.items()}

    return calls


def _scan(
    simulator: Simulator,
    values: np.ndarray,
    sizes: list[int],
    threads: list[int],
    others: Callable[[int], dict[str, Call]],
    seed: int,
    plot: Path | None,
) -> dict[str, Any]:
    from caloforge.cli.console import progress_bar, stdout
    from caloforge.files import atomic_path
    from caloforge.timing.scan import scan

    with progress_bar() as bar:
        task = bar.add_task("benchmark", total=len(sizes) * len(threads), unit="", remark="")
        rows = list(scan(simulator, values, sizes, threads, others, seed=seed, progress=lambda k: bar.advance(task, k)))
    for n_threads in threads:
        stdout.print(_scan_table([row for row in rows if row.threads == n_threads]))
    for row in rows:
        parts = [f"{row.threads} thread(s), batch {row.batch}: torch takes {row.ratio('torch', 'floor'):.2f} x floor"]
        parts.append(f"postprocessing {100 * row.postprocessing:.0f} %")
        for name in ("torch", "onnx", "graph", "onnx-int8", "graph-int8"):
            ratio = row.ratio("nflows", name)
            parts += [] if ratio is None else [f"{ratio:.1f} times as fast as nflows by {name}"]
        stdout.print("; ".join(parts), markup=False)
    if plot is not None:
        from caloforge.timing.figure import time_against_batch

        with atomic_path(plot) as partial:
            figure = time_against_batch(rows, threads[0])
            figure.savefig(partial, format=plot.suffix[1:].lower(), dpi=150)
        stdout.print(f"wrote {plot}", markup=False)
    return {"energies_mev": values.tolist(), "generator": [asdict(row) for row in rows]}


def _memory(run: Path, batch: int, trust: list[str]) -> tuple[float, float]:
    from caloforge.timing.scan import peak_memory_mb

    return peak_memory_mb(run, batch, trust)


def _threads(text: str, facts: dict[str, Any]) -> list[int]:
    from caloforge.errors import CaloforgeError

    words = [str(facts["cores"] or 1) if word.strip() == "all" else word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise CaloforgeError(f"--threads '{text}' is no list of whole numbers from 1, or all, as in 1,all")
    return sorted({int(word) for word in words})


def _against_geant4(simulator: Simulator, request: SimulationRequest, n: int, sizes: list[int]) -> dict[str, Any]:
    from caloforge.cli.console import progress_bar, stderr, stdout
    from caloforge.timing import against_geant4

    with progress_bar() as bar:
        task = bar.add_task("Geant4", total=n * len(set(request.draw())), unit="showers", remark="")
        compared = against_geant4(simulator, request, n, sizes, progress=lambda done: bar.advance(task, done))
    stdout.print(_comparison_table(compared))
    version, name, what = (compared.geant4[key] for key in ("version", "detector", "particle"))
    stdout.print(f"Geant4 {version}: {what} in {name}, {n} showers per energy", markup=False)
    if not compared.pinned:
        stderr.print("note: this system binds no process to a core; one thread each, one after the other")
    timings = [timing for row in compared.rows for timing in row.generator]
    for size in sizes:
        at_size = [timing for timing in timings if timing.batch == size]
        share = sum(t.model_cpu.median for t in at_size) / sum(t.cpu.median for t in at_size)
        stdout.print(f"batch {size}: the model alone is {100 * share:.0f} % of the generator's time", markup=False)
    rows = [{**asdict(row), "speed_up": row.speed_up} for row in compared.rows]
    return {"geant4": compared.geant4, "one_core": compared.pinned, "per_energy": rows}


def _sizes(text: str) -> list[int]:
    from caloforge.errors import CaloforgeError

    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise CaloforgeError(f"--batches '{text}' is no list of whole numbers from 1, as in 1,1000")
    return sorted({int(word) for word in words})


def _energies(text: str | None, energy_range: tuple[float, float] | None) -> tuple[str, np.ndarray]:
    """The law, and its energies in MeV, each once."""
    import numpy as np

    from caloforge.energies import parse_law
    from caloforge.errors import CaloforgeError

    if text is None:
        if energy_range is None:
            raise CaloforgeError("the run does not say its range of energies: add --energies list:256,...,16384")
        text = "list:" + ",".join(f"{energy:.6g}" for energy in np.unique(np.geomspace(*energy_range, 7)))
    if not text.startswith("list:"):
        raise CaloforgeError(f"--energies '{text}' is no list of energies, as in list:256,...,16384")
    return text, np.unique(parse_law(text).draw(None, np.random.default_rng(0)))


def _request(
    simulator: Simulator, detector: str | None, particle: str | None, law: str, data: Path | None, seed: int
) -> SimulationRequest:
    from caloforge.errors import CaloforgeError
    from caloforge.sources.geant4.datasets import find_data
    from caloforge.sources.geant4.detector import load_detector
    from caloforge.sources.geant4.simulation import SimulationRequest, binding_version

    binding_version()
    particle = particle or simulator.provenance.get("particle", "unknown")
    if particle == "unknown":
        raise CaloforgeError("the run does not say which particle it learnt: add --particle gamma (or e-, e+, …)")
    loaded = load_detector(detector or _learnt_detector(simulator))
    return SimulationRequest(loaded, str(particle), law, None, seed, find_data(data))


def _learnt_detector(simulator: Simulator) -> str:
    """The shipped detector with the run's voxels, if what it learnt from was Geant4's in such a one."""
    from caloforge.errors import CaloforgeError
    from caloforge.sources.geant4.detector import load_detector, shipped_detectors

    named = simulator.provenance.get("detector")
    if named in shipped_detectors():
        return str(named)
    source = str(simulator.provenance.get("training_source", "unknown"))
    fitting = [d for d in shipped_detectors() if load_detector(d).geometry.layers == simulator.geometry.layers]
    if not source.startswith("Geant4") or len(fitting) != 1:
        raise CaloforgeError(
            f"the run does not say which detector it learnt (its training showers' source: {source}): add --detector"
        )
    return fitting[0]


def _describe(simulator: Simulator) -> dict[str, Any]:
    keys = ("recipe", "weights_sha256", "caloforge_version", "training_source", "particle", "training_showers")
    known = {key: simulator.provenance[key] for key in keys if key in simulator.provenance}
    return {"geometry": simulator.geometry.name, "n_parameters": simulator.n_parameters, **known}


def _scan_table(rows: list[Scan]) -> Table:
    from caloforge.evaluation.report.formatting import number

    names = list(rows[0].ms)
    table = _table("batch", *(f"{name}, ms" for name in names))
    for row in rows:
        table.add_row(str(row.batch), *(number(row.ms[name].median, 3) for name in names))
    table.title = f"{row.threads} thread(s), {row.clock} time per shower"
    return table


def _comparison_table(compared: Geant4Comparison) -> Table:
    from caloforge.evaluation.report.formatting import number, with_error
    from caloforge.units import format_energy

    sizes = [timing.batch for timing in compared.rows[0].generator]
    table = _table("E_inc", "Geant4, ms", *(title for b in sizes for title in (f"batch {b}\nms", "ratio")))
    for row in compared.rows:
        cells = []
        for timing in row.generator:
            cells += [number(timing.cpu.median, 3), number(row.speed_up[timing.batch], 3)]
        table.add_row(format_energy(row.energy), with_error(row.geant4.cpu, row.geant4.error), *cells)
    return table


def _table(*titles: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1))
    for title in titles:
        table.add_column(title, justify="right", overflow="fold")  # no digit is ever cut off
    return table
