"""Showers in 3-D on the voxels of their geometry: a widget of a page, and a page with nothing else (`caloforge view`)."""

from __future__ import annotations

from caloforge.viewer.document import Gallery3D, GridAxis, Widget, render_view, widget

__all__ = ["Gallery3D", "GridAxis", "Widget", "render_view", "widget"]
