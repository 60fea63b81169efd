"""In which cell of energy and a further condition generated showers are worst."""

from __future__ import annotations

from collections.abc import Iterator

from caloforge.evaluation.report.records import Records, level_of
from caloforge.evaluation.report.verdict.observables import against_baseline
from caloforge.evaluation.report.verdict.point import Point


def worst_cell(records: Records) -> Iterator[Point]:
    """The cell with the worst AUC or, without a classifier, the worst mean separation power."""
    for section in ("auc", "mean_separation_power"):
        cells = [m for m in records.section(section) if "×" in str(m.extra.get("by", "")) and m.estimate is not None]
        found = [(excess, m) for m in cells if (excess := records.excess(m)) is not None]
        if found:
            excess, metric = max(found, key=lambda pair: pair[0])
            title = "AUC" if section == "auc" else records.sections[section].title.lower()
            words = f"{metric.at}: {title} of {metric.label}" if section == "auc" else f"{metric.at}: {title}"
            yield Point(level_of(excess), "cells", "Worst cell", (f"{words} {against_baseline(metric)}",), excess)
            return
