"""Agreement of a graph with PyTorch, shower by shower, before the readout threshold.

The reference is the run itself, `model.decode` and the transforms as trained, so the comparison also covers the model's
optimised form. Energies are drawn from within and beyond the training range. After the threshold, voxels within the
tolerance of it may fall on either side; all others must agree too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.export.card import thresholds_of
from caloforge.export.formats import GraphFormat, example_conditions
from caloforge.inference.onnx_engine import onnx_session
from caloforge.models.base import LatentModel
from caloforge.simulator import Simulator
from caloforge.transforms import Compose, ReadoutThreshold

TOLERANCE = 1e-4
"""Largest allowed |difference| of a voxel, as a fraction of the incident energy."""


class Disagreement(CaloforgeError):
    """A graph and PyTorch give different showers."""


@dataclass(frozen=True)
class Parity:
    """Differences between graph and PyTorch.

    Args:
        largest: largest |difference| of a voxel before the threshold, divided by E_inc.
        typical: root mean square of the differences.
        showers: number of showers compared.
        flipped: voxels that the threshold sets to zero in one but not in the other.
        precision: description of the precision of the graph's matrix multiplications.
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


def check_parity(graph: bytes, form: GraphFormat, simulator: Simulator, showers: int, seed: int) -> Parity:
    """Run the traced graph and compare.

    Args:
        graph: serialised graph with two outputs: the consumer's, and the same before the threshold.
        form: the consumer's format.
        simulator: the reference.
        showers: number of showers to compare.
        seed: random seed for noise and energies.

    Raises:
        Disagreement: a difference is too large.
    """
    target, model = form.target, simulator.model
    assert isinstance(model, LatentModel)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(showers, form.noise_size, generator=generator)
    # From half the lowest to twice the highest energy, in equal logarithmic steps.
    asked = torch.logspace(np.log10(target.low / 2), np.log10(target.high * 2), showers)[:, None]
    energies = asked.clamp(target.low, target.high)
    passed = example_conditions(target, showers, seed)
    values = target.values(passed, energies)
    with torch.inference_mode():
        c = simulator.transforms.condition(target.conditions.inputs(energies, values))
        x = model.decode(form.latent(noise), c)
        expected = without_thresholds(simulator.transforms, x, c).double().numpy()
    inputs = form.inputs(noise, asked, passed)
    cut, raw = _run(graph, form, [part.numpy() for part in inputs])
    scale, wanted_energies = energies.double().numpy(), asked.double().numpy()
    restored = (form.restore(part.astype(np.float64), scale, wanted_energies) for part in (raw, cut))
    raw, cut = (form.turned(torch.from_numpy(part), *inputs).numpy() / target.scale for part in restored)
    difference = np.abs(raw - expected) / scale
    largest = float(difference.max()) if np.isfinite(difference).all() else float("inf")
    if not largest <= TOLERANCE:
        row, voxel = np.unravel_index(np.argmax(np.nan_to_num(difference, nan=np.inf)), difference.shape)
        raise Disagreement(
            f"the graph disagrees with PyTorch by {largest:.1e} E_inc (shower {row}, voxel {voxel}; allowed "
            f"{TOLERANCE:.0e}), so nothing was written: try the other exporter, and report it"
        )
    value = max(thresholds_of(simulator), default=-np.inf)
    wanted = np.where(expected < value, 0, expected)
    flipped = (wanted == 0) != (cut == 0)
    near = np.abs(expected - value) <= TOLERANCE * scale
    if ((np.abs(cut - wanted) > TOLERANCE * scale) & ~(flipped & near)).any():
        raise Disagreement("the graph's threshold disagrees with PyTorch's, so nothing was written: report it")
    return Parity(largest, float(np.sqrt((difference**2).mean())), showers, int(flipped.sum()))


def without_thresholds(transforms: Compose, x: Tensor, c: Tensor) -> Tensor:
    """(B, F) features of a model → (B, V) voxels in MeV before any readout threshold."""
    for transform in reversed([*transforms]):
        if not isinstance(transform, ReadoutThreshold):
            x, c = transform.inverse(x, c)
    return x


def _run(graph: bytes, form: GraphFormat, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Both outputs for all showers, in batches of the format's size."""
    session = onnx_session(graph)
    n = len(inputs[0])
    step = form.batch or n
    parts = []
    for start in range(0, n, step):
        fed = {name: part[start : start + step] for name, part in zip(form.layout, inputs, strict=True)}
        parts.append(session.run(None, fed))
    return [np.concatenate([part[k] for part in parts]) for k in range(2)]
