"""`caloforge generate`: generate showers with a trained run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from caloforge.cli.choices import MOST_SEED, EngineChoice, PrecisionChoice

if TYPE_CHECKING:
    from caloforge.energies import EnergySpectrum
    from caloforge.inference import Engine
    from caloforge.simulator import Generation, Simulator
    from caloforge.simulator.shards import Shard

SANE = (0.01, 3.0)
"""A mean E_dep / E_inc outside this range indicates an error."""


def generate(
    run: Path = typer.Argument(..., help="Folder that `caloforge train` wrote."),
    energies: str = typer.Option(
        ...,
        "--energies",
        metavar="SPECTRUM",
        help="like:FILE, list:512,1024, discrete:256,...,16384, uniform:1GeV:100GeV or loguniform:1GeV:1TeV.",
    ),
    out: Path = typer.Option(..., "--out", "-o", help="HDF5 file to write; a folder with --shards."),
    n: int | None = typer.Option(None, "-n", min=1, help="Number of showers; defaults to that of like:FILE or list:…."),
    seed: int = typer.Option(
        1,
        "--seed",
        min=0,
        max=MOST_SEED,
        help="Random seed; the same seed, batch size and machine give the same showers.",
    ),
    batch_size: int = typer.Option(10_000, "--batch-size", min=1, help="Showers per pass through the model."),
    device: str = typer.Option("auto", "--device", help="auto, cpu, cuda or cuda:N."),
    overrides: list[str] = typer.Option(
        [],
        "--set",
        metavar="model.KEY=VALUE",
        help="Override a model setting, e.g. model.sampler=multistep or model.steps=25. May be repeated.",
    ),
    precision: PrecisionChoice = typer.Option(PrecisionChoice.FLOAT32, "--precision", help="float64 is slower."),
    engine: EngineChoice = typer.Option(
        EngineChoice.TORCH,
        "--engine",
        help="torch is usually the fastest for batches; compile (torch.compile) is slow to start; onnx (onnxruntime, "
        "extra caloforge\\[onnx]) is the fastest for single showers, within the training energy range; onnx-int8 "
        "quantises some matrix multiplications to int8.",
    ),
    workers: int = typer.Option(
        1, "--workers", min=1, help="Number of threads, each with its own batch; the showers do not depend on it."
    ),
    shard: str | None = typer.Option(
        None, "--shard", metavar="i/N", help="Generate only part i (0 … N-1) of N, for batch farms."
    ),
    shards: int | None = typer.Option(
        None,
        "--shards",
        min=1,
        metavar="N",
        help="Generate all N parts, one file each, in the folder -o; see caloforge merge.",
    ),
    compression: int = typer.Option(1, "--compression", min=0, max=9, help="gzip level; 0 is the fastest to write."),
    resume: bool = typer.Option(False, "--resume", help="Keep the files that this command has already finished."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace existing files."),
    trust: list[str] = typer.Option(
        [], "--trust", metavar="CLASS", help="Dotted path of a class of yours that the run may import. May be repeated."
    ),
) -> None:
    """Generate showers and write them to HDF5 files in the CaloChallenge layout.

    Showers are written batch by batch, so memory use does not grow with their
    number. Energies without a unit are in MeV. A shard contains the same showers
    wherever it is generated; caloforge merge concatenates shards.

    Example: caloforge generate run --energies loguniform:1GeV:16GeV -n 100000 -o generated.h5

    Example: caloforge generate run --energies uniform:1GeV:16GeV -n 10000000 --shards 100 --resume -o shards

    Example: caloforge generate run --energies list:4GeV -n 100 --set model.sampler=multistep -o multistep.h5
    """
    from caloforge.cli.console import stdout
    from caloforge.cli.stopping import signals_interrupt
    from caloforge.energies import parse_spectrum
    from caloforge.errors import CaloforgeError
    from caloforge.export.engines import make_engine
    from caloforge.files import prepare_parent, refuse_existing
    from caloforge.simulator.shards import Shard

    if resume and overwrite:
        raise CaloforgeError("--resume and --overwrite are mutually exclusive")
    parts: list[tuple[Path, Shard | None]]
    if shards is None:
        parts = [(out, None if shard is None else Shard.parse(shard))]
    else:
        if shard is not None:
            raise CaloforgeError("--shard generates one part and --shards all of them: give only one of the two")
        if out.is_file():
            raise CaloforgeError(f"{out} is a file; --shards needs a folder")
        parts = [(out / Shard(k, shards).file_name(), Shard(k, shards)) for k in range(shards)]
    spectrum = parse_spectrum(energies)
    total = spectrum.natural_count if n is None else n
    for _, part in parts:
        if part is not None and total is not None:
            part.rows(total)  # raises if it is empty, before anything is written
    for path, _ in parts:
        prepare_parent(path)
        if path.exists() and energies.startswith("like:") and path.resolve() == Path(energies[5:]).resolve():
            raise CaloforgeError(f"{path} is the file that the energies come from; write the showers to another one")
        if not resume:
            refuse_existing(path, overwrite)
    with signals_interrupt() as check_stopped:
        simulator = _load(run, trust, overrides, device, precision)
        job = _Job(
            simulator, make_engine(engine.value, simulator), spectrum, n, seed, batch_size, workers, compression, resume
        )
        for path, part in parts:
            generation = job.run(path, part, check_stopped)
            if generation is None:
                stdout.print(f"kept {path}: already complete", markup=False)
                continue
            stdout.print("\n".join(_times(generation)))
            stdout.print(f"wrote {path}", markup=False)


def _load(run: Path, trust: list[str], overrides: list[str], device: str, precision: PrecisionChoice) -> Simulator:
    import torch

    from caloforge.registry import importable
    from caloforge.simulator import Simulator
    from caloforge.training import choose_device, model_settings

    with importable(Path.cwd()):
        simulator = Simulator.load(run, trust, model_settings(overrides)).to(choose_device(device))
    return simulator.to(torch.float64) if precision is PrecisionChoice.FLOAT64 else simulator


@dataclass
class _Job:
    """The sample of one command, generated file by file."""

    simulator: Simulator
    engine: Engine
    spectrum: EnergySpectrum
    n: int | None
    seed: int
    batch_size: int
    workers: int
    compression: int
    resume: bool
    warned: bool = False

    def run(self, path: Path, shard: Shard | None, check_stopped: Callable[[], None]) -> Generation | None:
        """Generate one file; None if --resume finds it complete."""
        from caloforge.cli.console import progress_bar, stderr
        from caloforge.cli.ranges import warn_outside
        from caloforge.simulator import generate as run_generation
        from caloforge.simulator.core import CHANGED
        from caloforge.simulator.shards import draw_energies, is_made

        drawn = draw_energies(self.spectrum, self.n, self.seed, shard)
        facts: dict[str, Any] = {"energies": self.spectrum.text}
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
                warn_outside(drawn, self.simulator.energy_range, "showers there are extrapolated")
        with progress_bar() as bar:
            what = "generate" if shard is None else f"shard {shard}"
            task = bar.add_task(what, total=len(drawn), unit="showers", remark="")

            def done(showers: int) -> None:
                check_stopped()
                bar.advance(task, showers)

            generation = run_generation(
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
        if not SANE[0] <= generation.deposited_fraction <= SANE[1]:
            stderr.print(
                f"warning: the mean E_dep / E_inc is {generation.deposited_fraction:.3g}: the model is untrained, its "
                "sampler settings are unsuitable, or the energies are not in MeV"
            )
        return generation


def _times(generation: Generation) -> Iterator[str]:
    def spent(seconds: float) -> str:
        return f"{seconds:.2f} s ({1e3 * seconds / generation.n:.4f} ms per shower)"

    parts = [f"model {spent(generation.model)}"]
    if generation.postprocessing:
        parts.append(f"postprocessing {spent(generation.postprocessing)}")
    parts.append(f"writing {spent(generation.writing)}")
    yield f"{generation.n:,} showers in {generation.wall:.2f} s: " + ", ".join(parts)
    if generation.writing > 0.5 * generation.wall and generation.wall > 1:
        remedy = "--compression 0 or several processes with --shard are faster"
        yield f"note: writing took {100 * generation.writing / generation.wall:.0f} % of the time: {remedy}"
