"""The widget: showers as hits, the geometry as edges, and the scripts that draw them; and a page with nothing else.

Numbers are little-endian arrays in base64: for each hit its voxel (uint32) and its energy in MeV (float32). The page
asks for nothing from the network; its Content-Security-Policy forbids it. Voxels below the geometry's readout threshold
are left out. The report of an evaluation holds the same widget.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from caloforge import __version__
from caloforge.errors import CaloforgeError, either
from caloforge.geometry import Geometry, Layer
from caloforge.showers import Showers
from caloforge.viewer.depths import layer_depths

TEMPLATES = Path(__file__).parent / "templates"

MOST_HITS = 1_500_000
"""Hits on a page: 16 MB."""


@dataclass(frozen=True)
class GridAxis:
    """A slider over showers that were generated at a grid of energies or angles.

    Args:
        name: of the quantity, as "incident energy".
        labels: its K values in words, rising.
    """

    name: str
    labels: Sequence[str]


@dataclass(frozen=True)
class Gallery3D:
    """Showers to step through, each with another one beside it, or several for each point of a grid.

    Args:
        name: what they are, as "generated.h5".
        showers: N showers; of a grid, those of one point one after the other, the last axis varying fastest.
        beside: N showers to be shown beside them, or None.
        beside_name: what those are, as "nearest of test.h5".
        grid: axes of the grid; each point has N over the number of points showers.
    """

    name: str
    showers: Showers
    beside: Showers | None = None
    beside_name: str = ""
    grid: Sequence[GridAxis] = ()


@dataclass(frozen=True)
class Widget:
    """Parts of a page that shows showers: it has `mountViewer(element, data)` called by a script of its own.

    Args:
        style: CSS.
        markup: HTML of the element; the page around it defines the colours.
        script: JavaScript that defines `mountViewer`.
        library: JavaScript that it needs, three.js.
        data: JSON for `mountViewer`, safe within a script element.
    """

    style: str
    markup: str
    script: str
    library: str
    data: str


def render_view(galleries: Sequence[Gallery3D], title: str, detector: str = "") -> str:
    """A page as text.

    Args:
        galleries: at least one, all in one geometry.
        title: of the page.
        detector: name of the detector, whose layers' depths are used if the geometry does not know them.

    Raises:
        CaloforgeError: geometries differ, or there are too many hits for a page.
    """
    return (
        _environment()
        .get_template("view.html.j2")
        .render(
            title=title,
            geometry=galleries[0].showers.geometry.name,
            version=__version__,
            widget=widget(galleries, detector),
        )
    )


def widget(
    galleries: Sequence[Gallery3D], detector: str = "", *, heading: str = "h2", embedded: bool = False
) -> Widget:
    """What a page needs to show showers.

    Args:
        galleries, detector: as of `render_view`.
        heading: tag of the heading within the widget.
        embedded: among other contents: hidden until mounted, and the wheel scrolls the page until it has the focus.

    Raises:
        CaloforgeError: geometries differ, or there are too many hits for a page.
    """
    geometry = galleries[0].showers.geometry
    for gallery in galleries:
        for showers in (gallery.showers, gallery.beside):
            if showers is not None and not showers.geometry.has_voxels_of(geometry):
                raise CaloforgeError(
                    f"{gallery.name} has the geometry '{showers.geometry.name}' and {galleries[0].name} has "
                    f"'{geometry.name}': one page shows one geometry"
                )
    samples = [s for gallery in galleries for s in (gallery.showers, gallery.beside) if s is not None]
    found = [showers.voxels[is_hit(showers)] for showers in samples]
    hits = sum(map(len, found))
    if hits > MOST_HITS:
        fewer = either("show fewer showers (-n)", "show fewer showers")
        raise CaloforgeError(f"the showers have {hits:,} hits; a page holds {MOST_HITS:,}: {fewer}")
    if hits == 0:
        raise CaloforgeError("there is nothing to show: no voxel of these showers has energy above the threshold")
    energies = np.concatenate(found)
    data = {
        "geometry": described(geometry, detector),
        "threshold": geometry.threshold,
        "range": [float(np.float32(energies.min())), float(np.float32(energies.max()))],
        "galleries": [_plain(gallery) for gallery in galleries],
    }
    return Widget(
        style=_text("widget.css"),
        markup=_environment().get_template("widget.html.j2").render(heading=heading, embedded=embedded),
        script=_text("widget.js"),
        library=_text("three.min.js").replace("</script", "<\\/script"),
        data=json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
    )


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def described(geometry: Geometry, detector: str = "") -> dict[str, Any]:
    """Edges of the voxels in mm, as the script needs them."""
    depths, known = layer_depths(geometry, detector)
    layers = []
    for layer, (front, back) in zip(geometry.layers, depths, strict=True):
        own: dict[str, Any] = {"id": layer.id, "z": [front, back]}
        if isinstance(layer, Layer):
            own |= {"r": list(layer.r_edges), "n_alpha": layer.n_alpha}
        else:
            own |= {"x": list(layer.phi_edges), "y": list(layer.eta_edges)}
        layers.append(own)
    return {"name": geometry.name, "voxels": geometry.n_voxels, "depths_known": known, "layers": layers}


def _plain(gallery: Gallery3D) -> dict[str, Any]:
    return {
        "name": gallery.name,
        "showers": _hits(gallery.showers),
        "beside": None if gallery.beside is None else _hits(gallery.beside),
        "beside_name": gallery.beside_name,
        "grid": [{"name": axis.name, "labels": list(axis.labels)} for axis in gallery.grid],
    }


def is_hit(showers: Showers) -> np.ndarray:
    """(N, V) whether a voxel is shown."""
    return (showers.voxels > 0) & (showers.voxels >= showers.geometry.threshold)


def _hits(showers: Showers) -> dict[str, Any]:
    rows, voxels = np.nonzero(is_hit(showers))
    conditions: Mapping[str, np.ndarray] = {name: showers.conditions[name] for name in showers.conditions}
    units = {kind.name: kind.unit for kind in showers.conditions.kinds}
    return {
        "incident": [float(energy) for energy in showers.energies],
        "conditions": {
            f"{name} [{units[name]}]" if units[name] else name: [float(f"{v:.5g}") for v in values]
            for name, values in conditions.items()
        },
        "start": [0, *np.cumsum(np.bincount(rows, minlength=len(showers))).tolist()],
        "voxel": _base64(voxels.astype("<u4")),
        "energy": _base64(showers.voxels[rows, voxels].astype("<f4")),
    }


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")
