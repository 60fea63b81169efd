"""Figures of a report. Every drawing function takes the axes to draw on and returns its artists."""

from __future__ import annotations

from caloforge.evaluation.plots.figures import Picture, pictures
from caloforge.evaluation.plots.style import report_style

__all__ = ["Picture", "pictures", "report_style"]
