"""Conversion of PyTorch modules to ONNX, with either of PyTorch's exporters."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.onnx import symbolic_helper

from caloforge.errors import CaloforgeError, missing_extra, option

if TYPE_CHECKING:
    import onnx

Exporter = Literal["dynamo", "legacy"]

BATCH = "batch"
"""Name of the first axis of inputs and outputs."""

OPSET: dict[Exporter, int] = {"legacy": 16, "dynamo": 20}
"""ONNX operator set by default. onnxruntime 1.11, which Geant4's Par04 names, reads up to 16; 20 needs 1.18."""

LOWEST: dict[Exporter, int] = {"legacy": 13, "dynamo": 18}
"""Lowest operator set that an exporter writes and the graphs get by with."""


def require_onnx() -> None:
    """Check that graphs can be traced and run.

    Raises:
        CaloforgeError: a package of the extra `onnx` is not installed.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(package)
        except ImportError:
            raise missing_extra(package, "onnx", "exporting to ONNX") from None


def to_onnx(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    exporter: Exporter,
    batch: int | None,
    opset: int | None = None,
) -> onnx.ModelProto:
    """The ONNX graph of a module.

    Args:
        module: in evaluation mode.
        example: arguments with several rows, because exporters treat a batch of one as a constant.
        inputs, outputs: names.
        exporter: TorchScript's (`legacy`), or `dynamo`.
        batch: rows that the graph takes; None for any number.
        opset: operator set; None for the exporter's in `OPSET`.

    Raises:
        CaloforgeError: the exporter cannot trace the module, or does not write this operator set.
    """
    opset = OPSET[exporter] if opset is None else opset
    highest = 20 if exporter == "legacy" else 23
    if not LOWEST[exporter] <= opset <= highest:
        raise CaloforgeError(
            f"{option('opset', opset)}: the {exporter} exporter writes {LOWEST[exporter]} to {highest}"
        )
    with torch.no_grad(), _quiet():
        sizes = [int(part.shape[1]) for part in module(*example)]
        try:
            graph = _LEGACY_OR_DYNAMO[exporter](module, example, inputs, outputs, opset)
        except CaloforgeError:
            raise
        except Exception as error:  # exporters raise exceptions of any type
            said = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip() or type(error).__name__
            why = said.splitlines()[0][:120].rstrip(": ")
            other = "legacy" if exporter == "dynamo" else "dynamo"
            raise CaloforgeError(
                f"PyTorch's '{exporter}' exporter cannot trace this model ({why}): try {option('exporter', other)}"
            ) from None
    _keep_inputs(graph, inputs, example)
    for value, size in zip(graph.graph.output, sizes, strict=True):
        value.type.tensor_type.shape.dim[1].dim_value = size
    if batch is not None:
        for value in (*graph.graph.input, *graph.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = batch
        del graph.graph.value_info[:]  # intermediate shapes, which may still have any batch size
    return graph


def _keep_inputs(graph: onnx.ModelProto, names: Sequence[str], example: Sequence[Tensor]) -> None:
    """Add the inputs that nothing depends on, which exporters leave out: the consumer passes them all the same."""
    import onnx

    found = {value.name: value for value in graph.graph.input}
    for name, part in zip(names, example, strict=True):
        shape = [BATCH, *part.shape[1:]]
        found.setdefault(name, onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    kept = [found[name] for name in names]
    del graph.graph.input[:]
    graph.graph.input.extend(kept)


def _legacy(
    module: nn.Module, example: tuple[Tensor, ...], inputs: Sequence[str], outputs: Sequence[str], opset: int
) -> onnx.ModelProto:
    import onnx

    for name, symbolic in _SYMBOLICS.items():
        torch.onnx.register_custom_op_symbolic(name, symbolic, opset)
    axes = {name: {0: BATCH} for name in (*inputs, *outputs)}
    out = BytesIO()
    options: dict[str, Any] = {"dynamo": False, "opset_version": opset, "dynamic_axes": axes, "f": out}
    torch.onnx.export(module, example, input_names=list(inputs), output_names=list(outputs), **options)
    return onnx.load_from_string(out.getvalue())


def _dynamo(
    module: nn.Module, example: tuple[Tensor, ...], inputs: Sequence[str], outputs: Sequence[str], opset: int
) -> onnx.ModelProto:
    program = torch.onnx.export(
        module,
        example,
        dynamo=True,
        verbose=False,
        dynamic_shapes={"inputs": tuple({0: torch.export.Dim(BATCH)} for _ in example)},
        input_names=list(inputs),
        output_names=list(outputs),
        opset_version=opset,
    )
    assert program is not None
    return program.model_proto


_LEGACY_OR_DYNAMO = {"legacy": _legacy, "dynamo": _dynamo}


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
"""Single ONNX operators where the legacy exporter emits several, or none."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporters' messages, which are of no use to the user."""
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
