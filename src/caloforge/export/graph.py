"""Export of a run as one verified ONNX file with its card.

The graph is traced once, with the noise as an input and with a second output, the voxels before the readout threshold.
In this form it is run in onnxruntime and compared with PyTorch (`caloforge.export.parity`), and compared again if its
matrix multiplications are int8-quantised (`caloforge.export.int8`). Only then is the second output removed, the noise
source moved inside if the format requires it, and the file written: the graph that is written is the one that was
checked.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from caloforge import __version__
from caloforge.errors import CaloforgeError
from caloforge.export import GRAPHS
from caloforge.export.card import card_path, provenance_of
from caloforge.export.formats import GraphFormat, Target
from caloforge.export.int8 import quantised
from caloforge.export.parity import Parity, check_parity, without_thresholds
from caloforge.export.tracing import Exporter, require_onnx, to_onnx
from caloforge.files import atomic_path, write_json
from caloforge.inference import optimised
from caloforge.models import MODELS
from caloforge.models.base import LatentModel, ShowerModel
from caloforge.simulator import Simulator
from caloforge.transforms import Compose, ReadoutThreshold, Transform

if TYPE_CHECKING:
    import onnx

Precision = Literal["float32", "int8"]

RAW = "before_threshold"
"""Name of the output used for the check and then removed."""


class GeneratorGraph(nn.Module):
    """A consumer's inputs → its output, and the same before the readout threshold.

    Args:
        form: the consumer's format.
        decode: (z, c) → x.
        transforms: the preprocessing to invert.
    """

    low: Tensor
    high: Tensor

    def __init__(self, form: GraphFormat, decode: nn.Module, transforms: Compose) -> None:
        super().__init__()
        self.form, self.decode, self.transforms = form, decode, transforms
        self.register_buffer("low", torch.tensor(form.target.low))
        self.register_buffer("high", torch.tensor(form.target.high))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        z, energies = self.form.read(*inputs)
        energies = torch.clamp(energies, self.low, self.high)
        c = self.transforms.condition(energies)
        raw, voxels = inverted(self.transforms, self.decode(z, c), c)
        return self.form.write(voxels, energies), self.form.write(raw, energies)


def inverted(transforms: Compose, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Voxels in MeV (B, V) without readout thresholds, and with them."""
    chain: list[Transform] = list(transforms)
    outer = 0
    while outer < len(chain) and isinstance(chain[outer], ReadoutThreshold):
        outer += 1

    def invert(part: list[Transform], x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        for transform in reversed(part):
            x, c = transform.inverse(x, c)
        return x, c

    raw = without_thresholds(transforms, x, c)
    inner = chain[outer:]
    if any(isinstance(t, ReadoutThreshold) for t in inner):
        cut, c = invert(inner, x, c)
    else:
        cut = raw  # the common part is traced once
    return raw, invert(chain[:outer], cut, c)[0]


class _Decode(nn.Module):
    """A model's `decode` as a module."""

    def __init__(self, model: LatentModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return self.model.decode(z, c)


def decoder_of(model: ShowerModel) -> nn.Module:
    """(z, c) → x as a module that can be traced, in its optimised form if there is one.

    Raises:
        CaloforgeError: the model is not a `LatentModel`, or has an `export_obstacle`.
    """
    name = MODELS.name_of(type(model))
    if model.export_obstacle:
        raise CaloforgeError(f"the model '{name}' cannot be exported: {model.export_obstacle}")
    fast = optimised(model, traced=True)
    if fast is not None:
        return fast
    if not isinstance(model, LatentModel):
        raise CaloforgeError(
            f"the model '{name}' cannot be exported, since it draws its own noise: derive it from `LatentModel`, with "
            "`latent_dim` and `decode(z, c)`"
        )
    return _Decode(model)


def target_of(simulator: Simulator) -> Target:
    """What the formats need to know about a simulator.

    Raises:
        CaloforgeError: the run does not record its energy range.
    """
    if simulator.energy_range is None:
        raise CaloforgeError(
            "the run does not record its energy range, which the graph needs for clamping: train it again"
        )
    assert isinstance(simulator.model, LatentModel)  # `decoder_of` accepts no other
    return Target(simulator.geometry, simulator.model.latent_dim, *simulator.energy_range)


@dataclass(frozen=True)
class CheckedGraph:
    """A graph that agrees with PyTorch.

    Args:
        content: the ONNX file, with the card in its metadata.
        card: its description.
        parity: agreement with PyTorch.
    """

    content: bytes
    card: dict[str, Any]
    parity: Parity


def checked_graph(
    simulator: Simulator,
    name: str,
    *,
    exporter: Exporter = "legacy",
    precision: Precision = "float32",
    showers: int = 256,
    seed: int = 1,
) -> CheckedGraph:
    """Trace a run and compare the graph with PyTorch.

    Args:
        simulator: a loaded run, float32 on the CPU.
        name: name of a format in `GRAPHS`.
        exporter: PyTorch exporter: `legacy` (TorchScript, takes seconds) or `dynamo` (newer and slower).
        precision: precision of large matrix multiplications; `int8` quantises as many as the tolerance allows.
        showers: number of showers to compare.
        seed: random seed for their noise and energies.

    Raises:
        CaloforgeError: the model or the geometry does not fit the format, a package is not installed, the exporter
            cannot trace the model, the two disagree, or no matrix multiplication can be quantised.
    """
    require_onnx()
    decode = decoder_of(simulator.model)
    form = GRAPHS.resolve(name)(target_of(simulator))
    graph = traced(GeneratorGraph(form, decode, simulator.transforms).eval(), exporter)

    def check(model: onnx.ModelProto) -> Parity:
        return check_parity(model.SerializeToString(), form, simulator, showers, seed)

    parity = check(graph)
    if precision == "int8":
        graph, parity = quantised(graph, check)
    _finish(graph, form)
    card = describe(simulator, form, parity, exporter)
    for key, value in card.items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = f"caloforge.{key}", value if isinstance(value, str) else json.dumps(value)
    return CheckedGraph(graph.SerializeToString(), card, parity)


def export_graph(
    simulator: Simulator,
    name: str,
    path: Path,
    *,
    exporter: Exporter = "legacy",
    precision: Precision = "float32",
    showers: int = 256,
    seed: int = 1,
) -> Parity:
    """Write `path` (ONNX) and its card next to it (`.json`), both only if onnxruntime agrees with PyTorch.

    Args:
        path: the file to write. For the other arguments see `checked_graph`.

    Returns:
        The agreement between the two.

    Raises:
        CaloforgeError: from `checked_graph`.
    """
    graph = checked_graph(simulator, name, exporter=exporter, precision=precision, showers=showers, seed=seed)
    with atomic_path(path) as partial:
        partial.write_bytes(graph.content)
    digest = hashlib.sha256(graph.content).hexdigest()
    write_json(card_path(path), {**graph.card, "file": path.name, "sha256": digest})
    return graph.parity


def describe(simulator: Simulator, form: GraphFormat, parity: Parity, exporter: str) -> dict[str, Any]:
    """The card of a graph."""
    return {
        "format": form.name,
        "summary": form.summary,
        **form.describe(),
        "energy_range_mev": [form.target.low, form.target.high],
        "outside_the_range": "the energy is clipped to the range",
        "parity": {**parity.to_dict(), "exporter": exporter},
        **provenance_of(simulator),
    }


def traced(graph: GeneratorGraph, exporter: Exporter) -> onnx.ModelProto:
    """The ONNX graph, with both outputs and with noise as an input.

    Raises:
        CaloforgeError: the exporter cannot trace the model.
    """
    form = graph.form
    noise, energies = torch.zeros(3, form.target.latent_dim), torch.full((3, 1), form.target.high)
    example = form.inputs(noise, energies)
    return to_onnx(graph, example, form.input_names, (form.output_name, RAW), exporter, form.batch)


def _finish(model: onnx.ModelProto, form: GraphFormat) -> None:
    """Remove the output used for the check and its nodes; draw the noise inside if the format requires it."""
    import onnx

    graph = model.graph
    graph.output.remove(next(value for value in graph.output if value.name == RAW))
    if form.draws_noise:
        assert form.batch is not None
        noise = next(value for value in graph.input if value.name == "noise")
        graph.input.remove(noise)
        shape = [form.batch, form.target.latent_dim]
        node = onnx.helper.make_node("RandomNormal", [], ["noise"], dtype=onnx.TensorProto.FLOAT, shape=shape)
        graph.node.insert(0, node)
    wanted = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    weights = [value for value in graph.initializer if value.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(weights)
    model.producer_name, model.producer_version = "caloforge", __version__
    onnx.checker.check_model(model)
