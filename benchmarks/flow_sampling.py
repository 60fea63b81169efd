"""Which spline flow to sample from: ours, zuko's or nflows', at the size of CaloMan's density.

For each library at hand: ms per sample of 20 codes at batch 1, 100 and 10 000 on one thread (medians, the libraries
taking turns, so that a drifting machine hurts them alike); how many samples are not finite, or whether sampling stops
with an error, when the weights are wild (scaled up 30-fold, as after a bad training step); and whether the inverse
exports to ONNX.

    python benchmarks/flow_sampling.py            # ours and whichever of zuko and nflows is installed
    pip install zuko nflows                       # the others
"""

from __future__ import annotations

import io
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from caloforge.networks.flows import frozen, spline_coupling_flow

D, LAYERS, BINS, WIDTH, BLOCKS = 20, 4, 8, 64, 3
Inverse = Callable[[Tensor, Tensor], Tensor]


def ours() -> tuple[torch.nn.Module, Inverse]:
    flow = frozen(spline_coupling_flow(D, 1, layers=LAYERS, bins=BINS, bound=1.0, width=WIDTH, blocks=BLOCKS))
    return flow, lambda z, c: flow.inverse(z, c)[0]


def from_zuko() -> tuple[torch.nn.Module, Inverse]:
    import zuko

    flow = zuko.flows.NSF(D, 1, bins=BINS, transforms=LAYERS, passes=2, hidden_features=(WIDTH,) * (2 * BLOCKS))
    return flow, lambda z, c: flow(c).transform.inv(z)


def from_nflows() -> tuple[torch.nn.Module, Inverse]:
    from nflows import transforms
    from nflows.nn.nets import ResidualNet
    from nflows.utils import torchutils

    def linear() -> transforms.Transform:
        return transforms.CompositeTransform(
            [transforms.RandomPermutation(D), transforms.LULinear(D, identity_init=True)]
        )

    def coupling(k: int) -> transforms.Transform:
        return transforms.PiecewiseRationalQuadraticCouplingTransform(
            mask=torchutils.create_alternating_binary_mask(D, even=k % 2 == 0),
            transform_net_create_fn=lambda i, o: ResidualNet(
                i, o, hidden_features=WIDTH, context_features=1, num_blocks=BLOCKS
            ),
            num_bins=BINS,
            tails="linear",
            tail_bound=1.0,
        )

    chain = [part for k in range(LAYERS) for part in (linear(), coupling(k))]
    flow = transforms.CompositeTransform([*chain, linear()])
    return flow, lambda z, c: flow.inverse(z, c)[0]


def make_all() -> dict[str, tuple[torch.nn.Module, Inverse]]:
    made = {}
    for name, make in (("caloforge", ours), ("zuko", from_zuko), ("nflows", from_nflows)):
        torch.manual_seed(1)
        try:
            made[name] = make()
        except ImportError:
            print(f"{name}: not installed, left out")
    return made


@torch.no_grad()
def milliseconds(inverse: Inverse, batch: int, repeats: int) -> float:
    z, c = torch.randn(batch, D), torch.rand(batch, 1)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        inverse(z, c)
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times)


@torch.no_grad()
def wild(flow: torch.nn.Module, inverse: Inverse) -> str:
    torch.manual_seed(2)
    for parameter in flow.parameters():
        if parameter.ndim == 2 and parameter.shape[0] != parameter.shape[1]:
            parameter *= 30
    bad = 0
    for _ in range(20):
        try:
            bad += int((~torch.isfinite(inverse(torch.randn(5000, D), torch.rand(5000, 1)))).any(dim=1).sum())
        except (AssertionError, RuntimeError, ValueError) as error:
            return f"stops: {type(error).__name__} {str(error)[:40]}"
    return f"{bad} of 100000 not finite"


class _Module(torch.nn.Module):
    def __init__(self, flow: torch.nn.Module, inverse: Inverse) -> None:
        super().__init__()
        self.flow, self.inverse = flow, inverse

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return self.inverse(z, c)


def export(flow: torch.nn.Module, inverse: Inverse) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Module(flow, inverse).eval(),
                (torch.randn(2, D), torch.rand(2, 1)),
                io.BytesIO(),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # any failure is the answer
        return f"no: {type(error).__name__}"
    return "yes"


def main() -> None:
    torch.set_num_threads(1)
    made = make_all()
    for flow, _ in made.values():
        flow.eval()
    print(f"ms per batch, one thread, medians of interleaved rounds ({D} codes, {LAYERS} layers, width {WIDTH})")
    for batch, repeats in ((1, 30), (100, 30), (10_000, 5)):
        rounds: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(5):
            for name, (_, inverse) in made.items():
                rounds[name].append(milliseconds(inverse, batch, repeats))
        print(f"  batch {batch:6d}: " + ", ".join(f"{n} {statistics.median(t):.3f}" for n, t in rounds.items()))
    for name, (flow, inverse) in made.items():
        print(f"{name}: exports to ONNX: {export(flow, inverse)}; wild weights: {wild(flow, inverse)}")


if __name__ == "__main__":
    main()
