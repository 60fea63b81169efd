"""One self-contained HTML page that shows showers in 3-D on the voxels of their geometry (`caloforge view`)."""

from __future__ import annotations

from caloforge.viewer.document import Gallery3D, render_view

__all__ = ["Gallery3D", "render_view"]
