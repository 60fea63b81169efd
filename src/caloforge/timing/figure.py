"""Time per shower against batch, as a figure."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from caloforge.timing.scan import Scan

LABELS = {
    "torch": "caloforge, PyTorch",
    "model": "without postprocessing",
    "floor": "bare matrix products",
    "onnx": "caloforge, onnxruntime",
    "graph": "onnxruntime's part",
    "onnx-int8": "caloforge, onnxruntime, 8 bits",
    "graph-int8": "onnxruntime's part, 8 bits",
    "compile": "caloforge, torch.compile",
    "nflows": "flow by nflows",
}


def time_against_batch(scans: Sequence[Scan], threads: int, ax: Axes | None = None) -> Axes:
    """Median ms per shower with quartiles, one line per candidate.

    Args:
        scans: of which those with this number of threads are drawn.
        threads: number of threads.
        ax: where to draw; None makes a figure.

    Returns:
        The axes.
    """
    if ax is None:
        ax = Figure(figsize=(6, 4), layout="constrained").subplots()
    rows = sorted((row for row in scans if row.threads == threads), key=lambda row: row.batch)
    batches = [row.batch for row in rows]
    for name in rows[0].ms:
        spreads = [row.ms[name] for row in rows]
        middle = [spread.median for spread in spreads]
        (line,) = ax.plot(batches, middle, marker="o", label=LABELS.get(name, name))
        ax.fill_between(
            batches, [s.lower for s in spreads], [s.upper for s in spreads], color=line.get_color(), alpha=0.2
        )
    ax.set(xscale="log", yscale="log", xlabel="showers per call", ylabel="ms per shower")
    ax.set_title("one thread" if threads == 1 else f"{threads} threads", loc="left", fontsize="medium")
    ax.legend(fontsize="small")
    return ax
