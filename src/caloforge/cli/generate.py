"""`caloforge generate`: showers from a trained run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from caloforge.energies import EnergyLaw
    from caloforge.inference import Engine
    from caloforge.simulator import Generation, Simulator
    from caloforge.simulator.shards import Shard

SANE = (0.01, 3.0)
"""Mean E_dep / E_inc outside of which something must be wrong."""


def generate(
    run: Path = typer.Argument(..., help="Folder that `caloforge train` wrote."),
    energies: str = typer.Option(
        ...,
        "--energies",
        metavar="LAW",
        help="like:FILE, list:512,1024, discrete:256,...,16384, uniform:1GeV:100GeV or loguniform:1GeV:1TeV.",
    ),
    out: Path = typer.Option(..., "--out", "-o", help="HDF5 file to write; with --shards a folder."),
    n: int | None = typer.Option(None, "-n", min=1, help="Number of showers; like: and list: have one of their own."),
    seed: int = typer.Option(1, "--seed", min=0, help="The same seed, batch size and machine give the same showers."),
    batch_size: int = typer.Option(10_000, "--batch-size", min=1, help="Showers per pass through the model."),
    device: str = typer.Option("auto", "--device", help="auto, cpu or cuda."),
    overrides: list[str] = typer.Option(
        [],
        "--set",
        metavar="model.KEY=VALUE",
        help="Sample with another setting of the model, as in model.sampler=teacher. Repeatable.",
    ),
    sampler: str | None = typer.Option(
        None, "--sampler", help="Of a model that has several (short for --set model.sampler=…)."
    ),
    steps: int | None = typer.Option(None, "--steps", min=1, help="Of the sampler (short for --set model.steps=…)."),
    snr: float | None = typer.Option(
        None, "--snr", help="Signal-to-noise ratio r of a diffusion model's corrector (short for --set model.snr=…)."
    ),
    precision: str = typer.Option("float32", "--precision", help="float32, or float64 (slower)."),
    engine: str = typer.Option(
        "torch",
        "--engine",
        help="torch, mostly the fastest for batches; compile (torch.compile, slow to start); onnx (onnxruntime, extra "
        "onnx), the fastest for one shower at a time, and only within the training range of energies; onnx-int8, "
        "the same with int8-quantised matrix multiplications.",
    ),
    workers: int = typer.Option(
        1, "--workers", min=1, help="Batches made at a time, by threads; does not change the showers."
    ),
    shard: str | None = typer.Option(
        None, "--shard", metavar="i/N", help="Make only part i (0 … N-1) of the N parts of the sample, for batch farms."
    ),
    shards: int | None = typer.Option(
        None, "--shards", min=1, metavar="N", help="Make all N parts, each a file in the folder -o; see `merge`."
    ),
    compression: int = typer.Option(1, "--compression", min=0, max=9, help="gzip level; 0 writes fastest."),
    resume: bool = typer.Option(False, "--resume", help="Keep files that this command has already finished."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace a file of that name."),
    trust: list[str] = typer.Option(
        [], "--trust", metavar="CLASS", help="Dotted path of a class of your own that the run may import. Repeatable."
    ),
) -> None:
    """Generate showers and stream them to a challenge HDF5 file, or to many.

    Memory does not grow with the number of showers, but for the 8 bytes of an incident energy. Energies are MeV where
    no unit is given. A shard has the same showers wherever it is made; `caloforge merge` puts shards together.

    Example: caloforge generate run --energies loguniform:1GeV:16GeV -n 100000 -o generated.h5

    Example: caloforge generate run --energies uniform:1GeV:16GeV -n 10000000 --shards 100 --resume -o shards

    Example: caloforge generate caloscore --sampler multistep --steps 30 --energies list:4GeV -o few_steps.h5
    """
    from caloforge.cli.console import stdout
    from caloforge.cli.stopping import sigterm_interrupts
    from caloforge.energies import parse_law
    from caloforge.errors import CaloforgeError
    from caloforge.export.engines import ENGINES, make_engine
    from caloforge.files import prepare_parent, refuse_existing
    from caloforge.simulator.shards import Shard

    if precision not in ("float32", "float64"):
        raise CaloforgeError(f"--precision is float32 or float64, not '{precision}'")
    if engine not in ENGINES:
        raise CaloforgeError(f"--engine is {', '.join(ENGINES[:-1])} or {ENGINES[-1]}, not '{engine}'")
    if resume and overwrite:
        raise CaloforgeError("--resume keeps finished files and --overwrite replaces them: give one of the two")
    parts: list[tuple[Path, Shard | None]]
    if shards is None:
        parts = [(out, None if shard is None else Shard.parse(shard))]
    else:
        if shard is not None:
            raise CaloforgeError("--shard makes one part and --shards all of them: give one of the two")
        if out.is_file():
            raise CaloforgeError(f"{out} is a file; --shards needs a folder")
        parts = [(out / Shard(k, shards).file_name(), Shard(k, shards)) for k in range(shards)]
    law = parse_law(energies)
    total = law.natural_count if n is None else n
    for _, part in parts:
        if part is not None and total is not None:
            part.rows(total)  # an error if it is empty, before anything is written
    for path, _ in parts:
        prepare_parent(path)
        if path.exists() and energies.startswith("like:") and path.resolve() == Path(energies[5:]).resolve():
            raise CaloforgeError(f"{path} is the file that the energies come from; write the showers to another one")
        if not resume:
            refuse_existing(path, overwrite)
    short = {"sampler": sampler, "steps": steps, "snr": snr}
    for key, value in short.items():
        if value is not None and any(text.startswith(f"model.{key}=") for text in overrides):
            raise CaloforgeError(f"--{key} {value} is short for --set model.{key}={value}: give one of the two")
    overrides = overrides + [f"model.{key}={value}" for key, value in short.items() if value is not None]
    with sigterm_interrupts() as check_stopped:
        simulator = _load(run, trust, overrides, device, precision)
        job = _Job(simulator, make_engine(engine, simulator), law, n, seed, batch_size, workers, compression, resume)
        for path, part in parts:
            made = job.make(path, part, check_stopped)
            if made is None:
                stdout.print(f"kept {path}, which is finished", markup=False)
                continue
            stdout.print("\n".join(_where_time_went(made, workers)))
            stdout.print(f"wrote {path}", markup=False)


def _load(run: Path, trust: list[str], overrides: list[str], device: str, precision: str) -> Simulator:
    import torch

    from caloforge.registry import importable
    from caloforge.simulator import Simulator
    from caloforge.training import choose_device, model_settings

    with importable(Path.cwd()):
        simulator = Simulator.load(run, trust, model_settings(overrides)).to(choose_device(device))
    return simulator.to(torch.float64) if precision == "float64" else simulator


@dataclass
class _Job:
    """One command's sample, made part by part."""

    simulator: Simulator
    engine: Engine
    law: EnergyLaw
    n: int | None
    seed: int
    batch_size: int
    workers: int
    compression: int
    resume: bool
    warned: bool = False

    def make(self, path: Path, shard: Shard | None, check_stopped: Callable[[], None]) -> Generation | None:
        """Make one file; None if --resume found it finished."""
        from caloforge.cli.console import progress_bar, stderr
        from caloforge.cli.ranges import warn_outside
        from caloforge.simulator import generate as run_generation
        from caloforge.simulator.core import CHANGED
        from caloforge.simulator.shards import draw_energies, is_made

        drawn = draw_energies(self.law, self.n, self.seed, shard)
        facts: dict[str, Any] = {"energies": self.law.text}
        if shard is not None:
            facts |= {"shard": shard.number, "shards": shard.of}
        settled = {"weights_sha256": self.simulator.provenance["weights_sha256"], "seed": self.seed}
        settled |= {"batch_size": self.batch_size, "engine": self.engine.name}
        settled |= {CHANGED: self.simulator.provenance.get(CHANGED)}
        if self.resume and is_made(path, settled | facts, len(drawn)):
            return None
        if not self.warned:
            self.warned = True
            if self.engine.energy_range is None:
                warn_outside(drawn, self.simulator.energy_range, "the showers there are an extrapolation")
        with progress_bar() as bar:
            what = "generate" if shard is None else f"shard {shard}"
            task = bar.add_task(what, total=len(drawn), unit="showers", remark="")

            def done(showers: int) -> None:
                check_stopped()
                bar.advance(task, showers)

            made = run_generation(
                self.simulator,
                drawn,
                path,
                seed=self.seed,
                batch_size=self.batch_size,
                compression=self.compression,
                attributes={**facts, "command": shlex.join(["caloforge", *sys.argv[1:]])},
                progress=done,
                engine=self.engine,
                workers=self.workers,
                shard=None if shard is None else shard.number,
            )
        if not SANE[0] <= made.deposited_fraction <= SANE[1]:
            stderr.print(
                f"warning: these showers deposit {made.deposited_fraction:.3g} of their incident energy on average: "
                "no calorimeter does; the model is not trained, its sampler's settings are off, or this is not MeV"
            )
        return made


def _where_time_went(made: Generation, workers: int) -> Iterator[str]:
    def spent(seconds: float) -> str:
        return f"{seconds:.2f} s ({1e3 * seconds / made.n:.4f} ms per shower)"

    parts = [f"model {spent(made.model)}"]
    if made.postprocessing:
        parts.append(f"postprocessing {spent(made.postprocessing)}")
    parts.append(f"writing {spent(made.writing)}")
    yield f"{made.n:,} showers in {made.wall:.2f} s: " + ", ".join(parts)
    if made.writing > 0.5 * made.wall and made.wall > 1:
        remedy = "--compression 0 writes faster, --shard on several cores at once too"
        yield f"note: writing took {100 * made.writing / made.wall:.0f} % of the time: {remedy}"
