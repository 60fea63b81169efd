"""Does the graph give what PyTorch gives? Compared before the readout threshold, shower by shower.

The reference is the run itself, `model.decode` and the transforms as they were trained, so the comparison also covers
the rewriting of the model for sampling. Energies come from the training range and from beyond both ends of it. After
the threshold, voxels within the tolerance of it may fall on either side; all others must agree too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from caloforge.errors import CaloforgeError
from caloforge.export.formats import GraphFormat
from caloforge.models.base import LatentModel
from caloforge.simulator import Simulator
from caloforge.transforms import ReadoutThreshold

TOLERANCE = 1e-4
"""Largest allowed |difference| of a voxel, as a share of the incident energy."""


class Disagreement(CaloforgeError):
    """A graph and PyTorch make different showers."""


@dataclass(frozen=True)
class Parity:
    """How far graph and PyTorch were apart.

    Args:
        largest: largest |difference| of a voxel before the threshold, over E_inc.
        typical: its root mean square.
        showers: compared.
        flipped: voxels that the threshold cut in one and not in the other.
        precision: of the graph's products, in words.
    """

    largest: float
    typical: float
    showers: int
    flipped: int
    precision: str = "float32"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "tolerance": TOLERANCE, "unit": "E_inc"}

    def __str__(self) -> str:
        return (
            f"parity with PyTorch before the threshold: largest |difference| {self.largest:.1e} E_inc over "
            f"{self.showers} showers (allowed {TOLERANCE:.0e}); {self.precision}"
        )


def session(model: bytes, threads: int = 1) -> Any:
    """An onnxruntime session on the CPU with that many threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def check_parity(model: bytes, form: GraphFormat, simulator: Simulator, showers: int, seed: int) -> Parity:
    """Run the recorded graph and compare.

    Args:
        model: serialised, with two outputs: the consumer's, and the same before the threshold.
        form: the consumer's format.
        simulator: the reference.
        showers: to compare.
        seed: of noise and energies.

    Raises:
        Disagreement: a difference is too large.
    """
    target, latent = form.target, simulator.model
    assert isinstance(latent, LatentModel)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(showers, target.noise_dim, generator=generator)
    # From half the lowest to twice the highest energy, evenly in the logarithm.
    asked = torch.logspace(np.log10(target.low / 2), np.log10(target.high * 2), showers)[:, None]
    energies = asked.clamp(target.low, target.high)
    with torch.inference_mode():
        c = simulator.transforms.condition(energies)
        x = latent.decode(noise, c)
        expected = _without_threshold(simulator, x, c).double().numpy()
    fed = [part.numpy() for part in form.inputs(noise, asked)]
    cut, raw = _run(model, form, fed)
    scale = energies.double().numpy()
    raw, cut = (form.restore(part.astype(np.float64), scale) for part in (raw, cut))
    difference = np.abs(raw - expected) / scale
    largest = float(difference.max()) if np.isfinite(difference).all() else float("inf")
    if not largest <= TOLERANCE:
        row, voxel = np.unravel_index(np.argmax(np.nan_to_num(difference, nan=np.inf)), difference.shape)
        raise Disagreement(
            f"the graph disagrees with PyTorch by {largest:.1e} E_inc (shower {row}, voxel {voxel}; allowed "
            f"{TOLERANCE:.0e}); nothing was written: try the other --exporter, and report it"
        )
    value = max((t.value for t in simulator.transforms if isinstance(t, ReadoutThreshold)), default=-np.inf)
    wanted = np.where(expected < value, 0, expected)
    flipped = (wanted == 0) != (cut == 0)
    near = np.abs(expected - value) <= TOLERANCE * scale
    if ((np.abs(cut - wanted) > TOLERANCE * scale) & ~(flipped & near)).any():
        raise Disagreement("the graph's threshold disagrees with PyTorch's; nothing was written: report it")
    return Parity(largest, float(np.sqrt((difference**2).mean())), showers, int(flipped.sum()))


def _without_threshold(simulator: Simulator, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    for transform in reversed([*simulator.transforms]):
        if not isinstance(transform, ReadoutThreshold):
            x, c = transform.inverse(x, c)
    return x


def _run(model: bytes, form: GraphFormat, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Both outputs for all showers, as many at a time as the format takes."""
    runner = session(model)
    n = len(inputs[0])
    step = form.batch or n
    parts = []
    for start in range(0, n, step):
        fed = {name: part[start : start + step] for name, part in zip(form.input_names, inputs, strict=True)}
        parts.append(runner.run(None, fed))
    return [np.concatenate([part[k] for part in parts]) for k in range(2)]
