"""Export of a run as one verified ONNX file with its card.

The graph is traced once, with the noise as an input and with a second output, the voxels before the readout threshold.
In this form it is run in onnxruntime and compared with PyTorch (`caloforge.export.parity`), and compared again if its
matrix multiplications are int8-quantised (`caloforge.export.int8`). Only then is the second output removed, the noise
source moved inside if the format requires it, and the file written: the graph that is written is the one that was
checked.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from caloforge import __version__
from caloforge.errors import CaloforgeError, either
from caloforge.export import GRAPHS
from caloforge.export.card import CARD_VERSION, card_path, conditions_of, incidence_of, provenance_of
from caloforge.export.formats import GraphFormat, Target, example_conditions
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

OPSETS = {16: "1.11", 17: "1.12", 18: "1.14", 19: "1.15", 20: "1.17", 21: "1.18", 22: "1.20"}
IR_VERSIONS = {7: "1.5", 8: "1.10", 9: "1.15", 10: "1.18", 11: "1.21"}
"""Oldest onnxruntime that reads an operator set, and a version of the file format (its compatibility table)."""


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
        noise, asked = self.form.read(*inputs)
        energies = torch.clamp(asked, self.low, self.high)
        target, values = self.form.target, None
        if target.conditions.n_inputs:
            values = target.values(self.form.conditions(*inputs), energies)
        c = self.transforms.condition(target.conditions.inputs(energies, values))
        z = self.form.latent(noise)
        scale = target.scale
        found = [x if scale == 1 else scale * x for x in inverted(self.transforms, self.decode(z, c), c)]
        raw, voxels = (self.form.write(self.form.turned(x, *inputs), energies, asked) for x in found)
        return voxels, raw


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


def target_of(simulator: Simulator, scale: float = 1.0, fixed: Mapping[str, float] | None = None) -> Target:
    """What the formats need to know about a simulator, the factor on the output, and conditions that are fixed.

    Raises:
        CaloforgeError: the run does not record its energy range, or does not know a condition or its value.
    """
    fixed = fixed or {}
    for name, value in fixed.items():
        entry = next((each for each in simulator.conditions.entries if each.kind.name == name), None)
        if entry is None:
            raise CaloforgeError(f"the run does not know the condition {name}, so it cannot be fixed")
        entry.check(np.array([value]))
    if simulator.energy_range is None:
        raise CaloforgeError(
            "the run does not record its energy range, which the graph needs for clamping: train it again"
        )
    assert isinstance(simulator.model, LatentModel)  # `decoder_of` accepts no other
    known, size = simulator.conditions, simulator.model.latent_dim
    return Target(simulator.geometry, size, *simulator.energy_range, scale, known, fixed)


@dataclass(frozen=True)
class CheckedGraph:
    """A graph that agrees with PyTorch.

    Args:
        content: of the ONNX file, with the card in its metadata.
        card: what it is.
        parity: how well it agrees.
        form: the consumer's format.
    """

    content: bytes
    card: dict[str, Any]
    parity: Parity
    form: GraphFormat


def checked_graph(
    simulator: Simulator,
    name: str,
    *,
    exporter: Exporter = "legacy",
    precision: Precision = "float32",
    opset: int | None = None,
    scale: float = 1.0,
    settings: Mapping[str, Any] | None = None,
    fixed: Mapping[str, float] | None = None,
    showers: int = 256,
    seed: int = 1,
) -> CheckedGraph:
    """Trace a run and compare the graph with PyTorch.

    Args:
        simulator: a loaded run, float32 on the CPU.
        name: of a format in `GRAPHS`.
        exporter: PyTorch's exporter: TorchScript's (`legacy`), in seconds, or `dynamo`, newer and slower.
        precision: of large matrix multiplications; `int8` quantises as many as the tolerance allows.
        opset: ONNX operator set; by default 16 (`legacy`) or 20 (`dynamo`).
        scale: the output is multiplied by this.
        settings: of the format, by name.
        fixed: values of conditions that the graph does not ask for, in their units.
        showers: compared.
        seed: of their noise and energies.

    Raises:
        CaloforgeError: the model or the geometry does not fit the format, a package is not installed, the exporter
            cannot trace the model, the two disagree, or no matrix multiplication can be quantised.
    """
    require_onnx()
    decode = decoder_of(simulator.model)
    form = make_format(name, target_of(simulator, scale, fixed), settings or {})
    graph = traced(GeneratorGraph(form, decode, simulator.transforms).eval(), exporter, opset)

    def check(model: onnx.ModelProto) -> Parity:
        return check_parity(model.SerializeToString(), form, simulator, showers, seed)

    parity = check(graph)
    if precision == "int8":
        graph, parity = quantised(graph, check)
    _finish(graph, form)
    card = describe(simulator, form, parity, exporter) | runtimes(graph)
    for key, value in card.items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = f"caloforge.{key}", value if isinstance(value, str) else json.dumps(value)
    return CheckedGraph(graph.SerializeToString(), card, parity, form)


def make_format(name: str, target: Target, settings: Mapping[str, Any]) -> GraphFormat:
    """The format called `name` with its settings.

    Raises:
        CaloforgeError: a setting is unknown or has another type, or the format does not suit the target.
    """
    cls = GRAPHS.resolve(name)
    known = [key for key in inspect.signature(cls).parameters if key != "target"]
    for key in settings:
        if key not in known:
            has = f"its settings are {', '.join(known)}" if known else "it has none"
            raise CaloforgeError(
                f"{either(f'--set {key}: not a', f'{key} is not a')} setting of the format {name}; {has}"
            )
    form = cls(target, **settings)
    if lacking := [each for each in target.open_conditions if each not in form.takes]:
        way = either(f"fix it with --condition {lacking[0]}=VALUE", "fix it with fixed={…}")
        raise CaloforgeError(
            f"the showers of the run depend on {lacking[0]}, which the consumer of {name} does not pass: {way}, or "
            "export onnx"
        )
    return form


def export_graph(simulator: Simulator, name: str, path: Path, **options: Any) -> CheckedGraph:
    """Write `path` (ONNX), its card (`.json`) and the format's other files, only if onnxruntime agrees with PyTorch.

    Args:
        simulator, name: see `checked_graph`.
        path: the file to write.
        options: as of `checked_graph`.

    Raises:
        CaloforgeError: from `checked_graph`.
    """
    graph = checked_graph(simulator, name, **options)
    with atomic_path(path) as partial:
        partial.write_bytes(graph.content)
    digest = hashlib.sha256(graph.content).hexdigest()
    beside = graph.form.companions(path)
    for other, content in beside.items():
        with atomic_path(other) as partial:
            partial.write_bytes(content)
    files = {"file": path.name, "sha256": digest, "other_files": [other.name for other in beside]}
    write_json(card_path(path), {**graph.card, **files})
    return graph


def describe(simulator: Simulator, form: GraphFormat, parity: Parity, exporter: str) -> dict[str, Any]:
    """The card of a graph."""
    return {
        "card_version": CARD_VERSION,
        "format": form.name,
        "summary": form.summary,
        **form.describe(),
        "energy_range_mev": [form.target.low, form.target.high],
        "outside_the_range": form.outside(),
        "incidence": incidence_of(simulator),
        **({"conditions": conditions_of(form.target)} if simulator.conditions.entries else {}),
        "ignored": form.ignored(),
        "scale": form.target.scale,
        "parity": {**parity.to_dict(), "exporter": exporter},
        **provenance_of(simulator),
    }


def runtimes(graph: onnx.ModelProto) -> dict[str, Any]:
    """Operator set of a graph, and the versions of onnxruntime that run it."""
    import onnxruntime

    opset = next(each.version for each in graph.opset_import if each.domain in ("", "ai.onnx"))
    oldest = max((OPSETS.get(opset, "unknown"), IR_VERSIONS.get(graph.ir_version, "unknown")), key=_numbers)
    return {
        "opset": opset,
        "onnxruntime": {"oldest": oldest, "checked_with": onnxruntime.__version__},
    }


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split("."))) if version[:1].isdigit() else (10**6,)


def traced(graph: GeneratorGraph, exporter: Exporter, opset: int | None = None) -> onnx.ModelProto:
    """The ONNX graph, with both outputs and with noise as an input.

    Raises:
        CaloforgeError: the exporter cannot trace the model.
    """
    form = graph.form
    noise, energies = torch.zeros(3, form.noise_size), torch.full((3, 1), form.target.high)
    example = form.inputs(noise, energies, example_conditions(form.target, 3))
    return to_onnx(graph, example, list(form.layout), (form.output_name, RAW), exporter, form.batch, opset)


def _finish(model: onnx.ModelProto, form: GraphFormat) -> None:
    """Remove the output used for the check and its nodes; draw the noise inside if the format requires it."""
    import onnx

    graph = model.graph
    graph.output.remove(next(value for value in graph.output if value.name == RAW))
    if nodes := form.noise_nodes():
        graph.input.remove(next(value for value in graph.input if value.name == "noise"))
        for position, node in enumerate(nodes):
            graph.node.insert(position, node)
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
