"""What sampling CaloFlow's shapes costs: the teacher pass by pass, the teacher with its cache, the student.

For flow II of a given size on the 368 voxels of ds1-photons, one thread: ms per shower at batch 1, 100, 1 000 and
10 000 (medians of interleaved rounds), the ratios, and the largest difference between the naive and the cached loop, in
the flow's own space and in the shares of the layers.

The naive loop makes 368 equal passes per block through the network; it is timed over `--passes` of them and scaled up,
except for the comparison of results, which takes them all (at `--compare` showers).

    python benchmarks/caloflow_sampling.py                       # the published size, random weights
    python benchmarks/caloflow_sampling.py --run RUN             # a trained run with a student
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from caloforge.division.shares import inverse_logit
from caloforge.geometry import load_geometry
from caloforge.models.caloflow import CaloFlow
from caloforge.networks.flows import Flow
from caloforge.networks.made import AutoregressiveSpline, invert_by_passes
from caloforge.simulator import Simulator


def published() -> CaloFlow:
    """Flow II at its published size on 368 voxels, with weights shaken so that no spline is the identity."""
    torch.manual_seed(1)
    model = CaloFlow(368, 1, geometry=load_geometry("ds1-photons"), energy_scale=2.0, student=True)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.01 * torch.randn_like(p)
    return model


def conditions(model: CaloFlow, n: int) -> Tensor:
    """Flow II's conditions for showers between 256 MeV and 16 GeV, layer energies from flow I."""
    like = next(model.parameters())
    c = 256 * 2 ** (6 * torch.rand(n, 1, dtype=like.dtype))
    energies = model.layers.sums(model.sample(c[:1000]))
    return model._shape_conditions(energies[torch.arange(n) % len(energies)], c[torch.arange(n) % len(energies)])


def naive(flow: Flow, z: Tensor, c: Tensor) -> Tensor:
    """The way back through every step, the autoregressive ones by a whole pass per feature."""
    for step in reversed(flow.steps):
        if isinstance(step, AutoregressiveSpline):
            z = invert_by_passes(step, z, c)
        else:
            z, _ = step.inverse(z, c)  # type: ignore[operator]
    return z


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", help="folder of a trained run; without, random weights of the published size")
    parser.add_argument("--passes", type=int, default=4, help="passes of the naive loop that are timed, per block")
    parser.add_argument("--compare", type=int, default=100, help="showers in the comparison of results")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = Simulator.load(arguments.run).model if arguments.run else published()
    assert isinstance(model, CaloFlow)
    assert model.student is not None
    model.eval()
    blocks = [step for step in model.shapes.steps if isinstance(step, AutoregressiveSpline)]
    d = model.n_voxels
    print(f"{d} voxels, {len(blocks)} blocks of width {blocks[0].network.width}, one thread, ms per shower")

    for batch in (1, 100, 1000, 10_000):
        z, c = torch.randn(batch, d), conditions(model, batch)
        teacher, student = model.shapes, model.student

        passes = arguments.passes if batch < 10_000 else 1

        def some_passes(z: Tensor = z, c: Tensor = c, passes: int = passes) -> None:
            for block in blocks:
                for _ in range(passes):
                    block.bend(block.network(z, c), z, inverse=True)

        calls: dict[str, tuple[Callable[[], object], float]] = {
            "naive": (some_passes, d / passes),
            "cached": (lambda z=z, c=c, f=teacher: f.inverse(z, c), 1.0),
            "student": (lambda z=z, c=c, f=student: f.inverse(z, c), 1.0),
        }
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(arguments.rounds if batch < 10_000 else 1):
            for name, (call, factor) in calls.items():
                times[name].append(1e3 * factor * seconds(call) / batch)
        ms = {name: statistics.median(t) for name, t in times.items()}
        line = ", ".join(f"{name} {value:.4g}" for name, value in ms.items())
        pairs = [("naive", "cached"), ("naive", "student"), ("cached", "student")]
        ratios = [f"{a}/{b} {ms[a] / ms[b]:.1f}" for a, b in pairs]
        print(f"  batch {batch:6d}: {line}; {', '.join(ratios)}", flush=True)

    for dtype in (torch.float32, torch.float64):
        model.to(dtype)
        torch.manual_seed(3)
        z = torch.randn(arguments.compare, d, dtype=dtype)
        c = conditions(model, arguments.compare)
        one, other = model.shapes.inverse(z, c)[0], naive(model.shapes, z, c)
        shares = [model.layers.shares(inverse_logit(model.outer.inverse(x, c)[0], model.alpha)) for x in (one, other)]
        in_space, in_shares = (one - other).abs().max().item(), (shares[0] - shares[1]).abs().max().item()
        print(
            f"naive and cached loop, {arguments.compare} showers, {str(dtype)[6:]}: largest difference {in_space:.1e} "
            f"in the flow's space, {in_shares:.1e} in the shares"
        )


if __name__ == "__main__":
    main()
