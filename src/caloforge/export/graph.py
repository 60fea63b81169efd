"""From a run to one checked ONNX file and its card.

The graph is recorded once, with its noise as an input and with a second output, the voxels before the readout
threshold. So it is run in onnxruntime and compared to PyTorch (`caloforge.export.check`), and again if it then does
products in 8 bits (`caloforge.export.int8`); only then is the second output cut off, the noise drawn inside where the
format wants that, and the file written. What ships is what was checked.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.onnx import symbolic_helper

from caloforge import __version__
from caloforge.errors import CaloforgeError, missing_extra
from caloforge.export import GRAPHS
from caloforge.export.check import Parity, check_parity
from caloforge.export.formats import GraphFormat, Target
from caloforge.export.int8 import in_8_bits
from caloforge.files import atomic_path, write_json
from caloforge.models import MODELS
from caloforge.models.base import LatentModel, ShowerModel
from caloforge.simulator import Simulator
from caloforge.transforms import Compose, ReadoutThreshold

if TYPE_CHECKING:
    import onnx

Exporter = Literal["dynamo", "legacy"]
Precision = Literal["float32", "int8"]

RAW = "before_threshold"
"""Name of the output that is checked and cut off."""

BATCH = "batch"

OPSET = 17
"""Of ONNX, for the legacy exporter."""


class GeneratorGraph(nn.Module):
    """A consumer's inputs → what it takes, and the same before the threshold.

    Args:
        form: the consumer's format.
        decode: (noise, c) → x.
        transforms: the preprocessing to undo.
    """

    low: Tensor
    high: Tensor

    def __init__(self, form: GraphFormat, decode: nn.Module, transforms: Compose) -> None:
        super().__init__()
        self.form, self.decode, self.transforms = form, decode, transforms
        self.register_buffer("low", torch.tensor(form.target.low))
        self.register_buffer("high", torch.tensor(form.target.high))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        noise, energies = self.form.read(*inputs)
        energies = torch.clamp(energies, self.low, self.high)
        c = self.transforms.condition(energies)
        raw, voxels = undone_raw(self.transforms, self.decode(noise, c), c)
        return self.form.write(voxels, energies), self.form.write(raw, energies)


def undone_raw(transforms: Compose, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Voxels in MeV (B, V) without readout thresholds, and with them."""
    chain = list(transforms)
    outer = 0
    while outer < len(chain) and isinstance(chain[outer], ReadoutThreshold):
        outer += 1

    def undo(part: list[Any], x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        for transform in reversed(part):
            x, c = transform.inverse(x, c)
        return x, c

    raw, _ = undo([t for t in chain if not isinstance(t, ReadoutThreshold)], x, c)
    inner = chain[outer:]
    if any(isinstance(t, ReadoutThreshold) for t in inner):
        cut, c = undo(inner, x, c)
    else:
        cut = raw  # what the two have in common is recorded once
    return raw, undo(chain[:outer], cut, c)[0]


class _Decode(nn.Module):
    """A model's `decode` as a module of its own."""

    def __init__(self, model: LatentModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, noise: Tensor, c: Tensor) -> Tensor:
        return self.model.decode(noise, c)


def decoder_of(model: ShowerModel) -> nn.Module:
    """(noise, c) → x as a module that can be recorded.

    Raises:
        CaloforgeError: the model is not a `LatentModel`, or says by `export_obstacle` why it cannot be exported.
    """
    name = MODELS.name_of(type(model))
    if model.export_obstacle:
        raise CaloforgeError(f"the model '{name}' cannot be exported: {model.export_obstacle}")
    if not isinstance(model, LatentModel):
        raise CaloforgeError(
            f"the model '{name}' cannot be exported: it draws its noise itself; derive it from LatentModel, with "
            "`latent_dim` and `decode(z, c)`"
        )
    fast = model.lowered(graph=True)
    return _Decode(model) if fast is None else fast


def target_of(simulator: Simulator) -> Target:
    """What of a simulator the formats need to know.

    Raises:
        CaloforgeError: the run does not say its range of energies.
    """
    if "energy_range_mev" not in simulator.provenance:
        raise CaloforgeError(
            "the run does not say its range of energies, to which the graph would clamp: train it again"
        )
    low, high = simulator.provenance["energy_range_mev"]
    assert isinstance(simulator.model, LatentModel)
    return Target(simulator.geometry, simulator.model.latent_dim, float(low), float(high))


def require_onnx() -> None:
    """See to it that recording and running graphs is possible.

    Raises:
        CaloforgeError: a package of the extra `onnx` is absent.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(package)
        except ImportError:
            raise missing_extra(package, "onnx", "exporting to ONNX") from None


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
    """Write `path` (ONNX) and its card beside it (`.json`), both only if onnxruntime agrees with PyTorch.

    Args:
        simulator: a loaded run, float32 on the CPU.
        name: of a format in `GRAPHS`.
        path: the file to write.
        exporter: PyTorch's exporter: by TorchScript (`legacy`), in seconds, or `dynamo`, newer and slower.
        precision: of large matrix products; `int8` rounds as many as agreement allows (`caloforge.export.int8`).
        showers: compared.
        seed: of their noise and energies.

    Returns:
        How far apart the two were.

    Raises:
        CaloforgeError: the model or the geometry does not fit the format, a package is absent, the exporter cannot
            record the model, the two disagree, or no product can be done in 8 bits.
    """
    require_onnx()
    decode = decoder_of(simulator.model)
    form = GRAPHS.resolve(name)(target_of(simulator))
    graph = GeneratorGraph(form, decode, simulator.transforms).eval()
    recorded = _record(graph, form, exporter)

    def check(model: onnx.ModelProto) -> Parity:
        return check_parity(model.SerializeToString(), form, simulator, showers, seed)

    parity = check(recorded)
    if precision == "int8":
        recorded, parity = in_8_bits(recorded, check)
    _finish(recorded, form)
    card = describe(simulator, form, parity, exporter)
    for key, value in card.items():
        entry = recorded.metadata_props.add()
        entry.key, entry.value = f"caloforge.{key}", value if isinstance(value, str) else json.dumps(value)
    content = recorded.SerializeToString()
    with atomic_path(path) as partial:
        partial.write_bytes(content)
    write_json(card_path(path), {**card, "file": path.name, "sha256": hashlib.sha256(content).hexdigest()})
    return parity


def card_path(path: Path) -> Path:
    """Where the card of an exported file is."""
    return path.with_name(path.name + ".json")


def describe(simulator: Simulator, form: GraphFormat, parity: Parity, exporter: str) -> dict[str, Any]:
    """The card: everything that somebody who has only the file must know."""
    return {
        "format": form.name,
        "summary": form.summary,
        **form.describe(),
        "energy_range_mev": [form.target.low, form.target.high],
        "outside_the_range": "the energy is moved to the nearer end of the range",
        "parity": {**parity.to_dict(), "exporter": exporter},
        **provenance_of(simulator),
    }


def provenance_of(simulator: Simulator) -> dict[str, Any]:
    """Geometry, units, training data, versions and hash, for a card."""
    known = simulator.provenance
    keys = ("recipe", "particle", "detector", "training_file", "training_source", "training_showers")
    thresholds = [t.value for t in simulator.transforms if isinstance(t, ReadoutThreshold)]
    return {
        "units": {"energy": "MeV unless said otherwise", "length": "mm", "angle": "rad"},
        "readout_threshold_mev": max(thresholds, default=0.0),
        "model": MODELS.name_of(type(simulator.model)),
        "n_parameters": simulator.n_parameters,
        "weights_sha256": known.get("weights_sha256", "unknown"),
        "training": {key: known[key] for key in keys if key in known},
        "caloforge_version": __version__,
        "torch_version": str(torch.__version__),
        "geometry": simulator.geometry.to_dict(),
    }


def _record(graph: GeneratorGraph, form: GraphFormat, exporter: Exporter) -> onnx.ModelProto:
    import onnx

    # Three showers, because recorders take a batch of one for a constant.
    noise, energies = torch.zeros(3, form.target.noise_dim), torch.full((3, 1), form.target.high)
    example = form.inputs(noise, energies)
    names: dict[str, Any] = {"input_names": list(form.input_names), "output_names": [form.output_name, RAW]}
    with torch.no_grad(), _quiet():
        try:
            if exporter == "legacy":
                for name, symbolic in _SYMBOLICS.items():
                    torch.onnx.register_custom_op_symbolic(name, symbolic, OPSET)
                axes = {name: {0: BATCH} for name in (*form.input_names, form.output_name, RAW)}
                out = BytesIO()
                options: dict[str, Any] = {"dynamo": False, "opset_version": OPSET, "dynamic_axes": axes}
                torch.onnx.export(graph, example, out, **options, **names)  # type: ignore[arg-type]
                recorded = onnx.load_from_string(out.getvalue())
            else:
                shapes = {"inputs": tuple({0: torch.export.Dim(BATCH)} for _ in example)}
                program = torch.onnx.export(graph, example, dynamo=True, verbose=False, dynamic_shapes=shapes, **names)
                assert program is not None
                recorded = program.model_proto
        except CaloforgeError:
            raise
        except Exception as error:  # the exporters raise whatever stopped them
            said = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip() or type(error).__name__
            why = said.splitlines()[0][:120].rstrip(": ")
            other = "legacy" if exporter == "dynamo" else "dynamo"
            raise CaloforgeError(
                f"PyTorch's exporter '{exporter}' cannot record this model ({why}): "
                f"try caloforge export --exporter {other}"
            ) from None
    if form.batch is not None:
        for value in (*recorded.graph.input, *recorded.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = form.batch
        del recorded.graph.value_info[:]  # inner shapes, which may still speak of any batch
    return recorded


@symbolic_helper.parse_args("v", "f", "f")
def _threshold(graph: Any, x: Any, threshold: float, value: float) -> Any:
    if value == 0:
        return graph.op("ThresholdedRelu", x, alpha_f=threshold)
    limit, instead = (graph.op("Constant", value_t=torch.tensor(number)) for number in (threshold, value))
    return graph.op("Where", graph.op("Greater", x, limit), x, instead)


@symbolic_helper.parse_args("v", "f")
def _softshrink(graph: Any, x: Any, bound: float) -> Any:
    return graph.op("Shrink", x, lambd_f=bound, bias_f=bound)


_SYMBOLICS: dict[str, Callable[..., Any]] = {"aten::threshold": _threshold, "aten::softshrink": _softshrink}
"""Single operations of ONNX for which the legacy exporter has several, or none."""


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters talk a lot, and none of it is for the user."""
    import logging

    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _finish(model: onnx.ModelProto, form: GraphFormat) -> None:
    """Cut off the checked output with all that only it needs; let the graph draw its noise if the format says so."""
    import onnx

    graph = model.graph
    graph.output.remove(next(value for value in graph.output if value.name == RAW))
    if form.draws_noise:
        assert form.batch is not None
        noise = next(value for value in graph.input if value.name == "noise")
        graph.input.remove(noise)
        shape = [form.batch, form.target.noise_dim]
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
