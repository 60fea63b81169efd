"""Showers in 3-D on the voxels of their geometry: a widget for pages, and a page of its own (`caloforge view`)."""

from __future__ import annotations

from caloforge.viewer.document import Gallery3D, GridAxis, Widget, render_view, widget

__all__ = ["Gallery3D", "GridAxis", "Widget", "render_view", "widget"]
