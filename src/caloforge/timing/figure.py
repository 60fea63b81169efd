"""Plot of time per shower against batch size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caloforge.plots.timing import times
from caloforge.timing.scan import Scan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELS = {
    "torch": "caloforge, PyTorch",
    "model": "without postprocessing",
    "lower_bound": "lower bound (matrix products only)",
    "onnx": "caloforge, onnxruntime",
    "graph": "onnxruntime call alone",
    "onnx-int8": "caloforge, onnxruntime, int8",
    "graph-int8": "onnxruntime call alone, int8",
    "compile": "caloforge, torch.compile",
    "nflows": "flow from nflows",
}


def time_against_batch(scans: Sequence[Scan], threads: int) -> Axes:
    """Median ms per shower with quartiles, one line per candidate, for the scans with this number of threads."""
    rows = sorted((row for row in scans if row.threads == threads), key=lambda row: row.batch)
    found = {LABELS.get(name, name): [row.ms[name] for row in rows] for name in rows[0].ms}
    title = "one thread" if threads == 1 else f"{threads} threads"
    return times([row.batch for row in rows], found, title=title)
