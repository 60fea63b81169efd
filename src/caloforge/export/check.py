"""Does the graph give what PyTorch gives? Compared before the readout threshold, shower by shower.

`check_parity` is for graphs in float32, which must agree up to rounding; `check_rounding` says how far 8-bit products
(`caloforge.export.int8`) move the showers.

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
from caloforge.simulator import Simulator
from caloforge.transforms import ReadoutThreshold

TOLERANCE = 1e-4
"""Largest allowed |difference| of a voxel, as a share of the incident energy."""

ROUNDING_TOLERANCE = 0.05
"""Largest allowed root mean square of what 8-bit products do to voxels, over that of the voxels."""


@dataclass(frozen=True)
class Rounding:
    """What 8-bit products do to showers, before the threshold.

    Args:
        voxels: root mean square of the difference from PyTorch, over that of the voxels, all in units of E_inc.
        deposited: the same of deposited energies.
        largest: largest |difference| of a voxel, over E_inc.
        showers: compared.
    """

    voxels: float
    deposited: float
    largest: float
    showers: int

    def __str__(self) -> str:
        return (
            f"8-bit products move voxels by {100 * self.voxels:.2g} % (r.m.s.; allowed "
            f"{100 * ROUNDING_TOLERANCE:.0f} %), deposited energies by {100 * self.deposited:.2g} %"
        )


@dataclass(frozen=True)
class Parity:
    """How far graph and PyTorch were apart.

    Args:
        largest: largest |difference| of a voxel before the threshold, over E_inc.
        typical: its root mean square.
        showers: compared.
        flipped: voxels that the threshold cut in one and not in the other.
        int8: what 8-bit products then do, if the graph has them.
    """

    largest: float
    typical: float
    showers: int
    flipped: int
    int8: Rounding | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "tolerance": TOLERANCE, "unit": "E_inc"}

    def __str__(self) -> str:
        return (
            f"parity with PyTorch before the threshold: largest |difference| {self.largest:.1e} E_inc over "
            f"{self.showers} showers (allowed {TOLERANCE:.0e})"
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
        CaloforgeError: a difference is too large.
    """
    expected, energies, (raw, cut) = _both(model, form, simulator, showers, seed)
    difference = np.abs(raw - expected) / energies
    largest = float(difference.max()) if np.isfinite(difference).all() else float("inf")
    if not largest <= TOLERANCE:
        row, voxel = np.unravel_index(np.argmax(np.nan_to_num(difference, nan=np.inf)), difference.shape)
        raise CaloforgeError(
            f"the graph disagrees with PyTorch by {largest:.1e} E_inc (shower {row}, voxel {voxel}; allowed "
            f"{TOLERANCE:.0e}); nothing was written: try the other --exporter, and report it"
        )
    value = max((t.value for t in simulator.transforms if isinstance(t, ReadoutThreshold)), default=-np.inf)
    wanted = np.where(expected < value, 0, expected)
    flipped = (wanted == 0) != (cut == 0)
    near = np.abs(expected - value) <= TOLERANCE * energies
    if ((np.abs(cut - wanted) > TOLERANCE * energies) & ~(flipped & near)).any():
        raise CaloforgeError("the graph's threshold disagrees with PyTorch's; nothing was written: report it")
    return Parity(largest, float(np.sqrt((difference**2).mean())), showers, int(flipped.sum()))


def check_rounding(model: bytes, form: GraphFormat, simulator: Simulator, showers: int, seed: int) -> Rounding:
    """Run a graph with 8-bit products and compare. Arguments as for `check_parity`.

    Raises:
        CaloforgeError: onnxruntime cannot run it; it moves the showers too far.
    """
    try:
        expected, energies, (raw, _) = _both(model, form, simulator, showers, seed)
    except Exception as error:  # onnxruntime's have no class of their own
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise CaloforgeError(
            f"onnxruntime cannot do products in 8 bits here ({said[0][:160]}): version 1.22 or later can on x86; "
            "export in float32"
        ) from None
    wanted, moved = expected / energies, (raw - expected) / energies
    found = Rounding(
        _relative(moved, wanted),
        _relative(moved.sum(axis=1), wanted.sum(axis=1)),
        float(np.abs(moved).max()),
        showers,
    )
    if not found.voxels <= ROUNDING_TOLERANCE:
        raise CaloforgeError(f"{found}; nothing was written: export in float32")
    return found


def _relative(difference: np.ndarray, of: np.ndarray) -> float:
    return float(np.sqrt((difference**2).mean() / (of**2).mean()))


def _both(
    model: bytes, form: GraphFormat, simulator: Simulator, showers: int, seed: int
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """PyTorch's voxels before the threshold (B, V), incident energies (B, 1), and the graph's voxels before and after
    the threshold, all in MeV."""
    target = form.target
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(showers, target.noise_dim, generator=generator)
    # From half the lowest to twice the highest energy, evenly in the logarithm.
    asked = torch.logspace(np.log10(target.low / 2), np.log10(target.high * 2), showers)[:, None]
    energies = asked.clamp(target.low, target.high)
    with torch.inference_mode():
        c = simulator.transforms.condition(energies)
        x = simulator.model.decode(noise, c)  # type: ignore[operator]
        expected = _without_threshold(simulator, x, c).double().numpy()
    fed = [part.numpy() for part in form.inputs(noise, asked)]
    cut, raw = _run(model, form, fed)
    scale = energies.double().numpy()
    return expected, scale, (form.restore(raw.astype(np.float64), scale), form.restore(cut.astype(np.float64), scale))


def _without_threshold(simulator: Simulator, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    for transform in reversed(simulator.transforms.transforms):
        if not isinstance(transform, ReadoutThreshold):
            x, c = transform.inverse(x, c)  # type: ignore[operator]
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
