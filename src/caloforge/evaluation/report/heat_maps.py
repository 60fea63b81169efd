"""Heat maps of a report: how far numbers lie above baselines at each incident energy, or in bins of a condition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from caloforge.evaluation.metrics.base import Metric
from caloforge.evaluation.report.records import Records
from caloforge.formatting import pull
from caloforge.plots.style import RATIO_MAP

FEWEST_ROWS = 3
"""Fewer numbers are curves."""

LIMIT = 10.0
"""Ends of the colour scale in standard errors."""


def heat_maps(records: Records) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """(name, section, title, data of kind `heatmap`) of every section with numbers of several quantities in parts."""
    found: dict[tuple[str, str], list[Metric]] = defaultdict(list)
    for metric in records.metrics:
        if metric.at and metric.pull is not None and metric.section in records.sections:
            found[metric.section, str(metric.extra.get("by", ""))].append(metric)
    for (section, by), metrics in found.items():
        rows = list(dict.fromkeys(metric.name for metric in metrics))
        columns = list(dict.fromkeys(metric.at for metric in metrics))
        if len(rows) >= FEWEST_ROWS and len(columns) > 1:
            where = f"by {by}" if by else "at each incident energy"
            name = f"{section}_map{'_' + ''.join(c if c.isalnum() else '_' for c in by) if by else ''}"
            yield name, section, f"{records.sections[section].title}, {where}", _data(records, metrics, rows, columns)


def _data(records: Records, metrics: list[Metric], rows: list[str], columns: list[str]) -> Mapping[str, Any]:
    cells = {(metric.name, metric.at): metric for metric in metrics}
    labels = {metric.name: metric.label for metric in metrics}

    def excess(row: str, column: str) -> float | None:
        metric = cells.get((row, column))
        return None if metric is None else records.excess(metric)

    values = [[excess(row, column) for column in columns] for row in rows]
    return {
        "rows": [labels[row] for row in rows],
        "columns": columns,
        "values": values,
        "texts": [["" if value is None else (pull(value) or "").removesuffix(" σ") for value in row] for row in values],
        "label": "standard errors worse than the baseline",
        "limits": [-LIMIT, LIMIT],
        "map": RATIO_MAP,
    }
