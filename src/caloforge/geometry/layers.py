"""One layer of voxels, polar or Cartesian: edges and centres. Lengths are in mm, angles in rad.

Polar: `n_alpha` equal bins of alpha starting at -pi, and radial bins between `r_edges`. The centre of a voxel is at
r = (r_lo + r_hi) / 2 in the middle of its alpha bin; eta = r cos(alpha), phi = r sin(alpha) are the transverse x and
y in mm (CaloChallenge convention, arXiv:2410.21611). In the order of voxels, alpha is slow and r fast.

Cartesian: rows of phi (= x), columns of eta (= y), both in mm, eta fastest (CaloGAN convention, arXiv:1712.10321).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from caloforge.errors import CaloforgeError

FloatArray = np.ndarray


def _checked_edges(name: str, edges: Sequence[float]) -> tuple[float, ...]:
    try:
        values = tuple(float(edge) for edge in edges)
    except (TypeError, ValueError):
        raise CaloforgeError(f"{name} must be a list of numbers (mm), not {edges!r}") from None
    if len(values) < 2:
        raise CaloforgeError(f"{name} needs at least two edges (mm), not {list(values)}")
    if not all(math.isfinite(v) for v in values) or any(b <= a for a, b in itertools.pairwise(values)):
        raise CaloforgeError(f"{name} must increase from edge to edge (mm), not {list(values)}")
    return values


@dataclass(frozen=True)
class Layer:
    """One polar layer: voxels in (alpha, r), r fastest.

    >>> Layer(0, (0, 10, 20), n_alpha=3).n_voxels
    6

    Args:
        id: layer number in the detector (ds1 has 0, 1, 2, 3, 12).
        r_edges: radial bin edges in mm, increasing, non-negative.
        n_alpha: number of equal alpha bins, at least 1.
        z_edges: (front, back) of the layer along the shower axis in mm, if known.
    """

    id: int
    r_edges: tuple[float, ...]
    n_alpha: int = 1
    z_edges: tuple[float, float] | None = None

    kind = "polar"

    def __post_init__(self) -> None:
        object.__setattr__(self, "r_edges", _checked_edges(f"r_edges of layer {self.id}", self.r_edges))
        if self.r_edges[0] < 0:
            raise CaloforgeError(f"r_edges of layer {self.id} must not be negative, not {self.r_edges[0]}")
        if isinstance(self.n_alpha, bool) or not isinstance(self.n_alpha, int) or self.n_alpha < 1:
            raise CaloforgeError(f"n_alpha of layer {self.id} must be a positive whole number, not {self.n_alpha!r}")
        if self.z_edges is not None:
            front_back = _checked_edges(f"z_edges of layer {self.id}", self.z_edges)
            object.__setattr__(self, "z_edges", (front_back[0], front_back[-1]))

    def __repr__(self) -> str:
        low, high = self.r_edges[0], self.r_edges[-1]
        return f"Layer({self.id}, {self.n_alpha} alpha × {self.n_r} r bins, r {low:g} … {high:g} mm)"

    @property
    def n_r(self) -> int:
        """Number of radial bins."""
        return len(self.r_edges) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """(n_alpha, n_r): the shape of the layer's image, last axis fastest."""
        return (self.n_alpha, self.n_r)

    @property
    def n_voxels(self) -> int:
        return self.n_alpha * self.n_r

    @property
    def has_directions(self) -> bool:
        """Whether eta and phi moments are meaningful: only with more than one alpha bin."""
        return self.n_alpha > 1

    @cached_property
    def r(self) -> FloatArray:
        """(n_voxels,) radius of voxel centres in mm."""
        edges = np.asarray(self.r_edges)
        return np.tile((edges[:-1] + edges[1:]) / 2, self.n_alpha)

    @cached_property
    def alpha(self) -> FloatArray:
        """(n_voxels,) azimuth of voxel centres in rad, within (-pi, pi)."""
        # The challenge's arithmetic: cos(alpha) at ±pi/2 is a rounding error whose sign decides the bin of ec_eta.
        edges = np.linspace(-math.pi, math.pi, self.n_alpha + 1)
        return np.repeat(edges[:-1] + np.diff(edges) / 2, self.n_r)

    @cached_property
    def eta(self) -> FloatArray:
        """(n_voxels,) transverse coordinate r cos(alpha) in mm."""
        return np.asarray(self.r * np.cos(self.alpha))

    @cached_property
    def phi(self) -> FloatArray:
        """(n_voxels,) transverse coordinate r sin(alpha) in mm."""
        return np.asarray(self.r * np.sin(self.alpha))

    @cached_property
    def areas(self) -> FloatArray:
        """(n_voxels,) transverse area of each voxel in mm²."""
        edges = np.asarray(self.r_edges)
        return np.tile((edges[1:] ** 2 - edges[:-1] ** 2) * math.pi / self.n_alpha, self.n_alpha)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `Geometry.from_dict` reads back."""
        plain: dict[str, Any] = {"id": self.id, "r_edges": list(self.r_edges), "n_alpha": self.n_alpha}
        if self.z_edges is not None:
            plain["z_edges"] = list(self.z_edges)
        return plain


@dataclass(frozen=True)
class CartesianLayer:
    """One Cartesian layer: voxels in (phi, eta), eta fastest.

    Args:
        id: layer number in the detector.
        phi_edges: bin edges along phi (= x) in mm, increasing: the rows of the image.
        eta_edges: bin edges along eta (= y) in mm, increasing: the columns of the image.
        z_edges: (front, back) of the layer along the shower axis in mm, if known.
    """

    id: int
    phi_edges: tuple[float, ...]
    eta_edges: tuple[float, ...]
    z_edges: tuple[float, float] | None = None

    kind = "cartesian"

    def __post_init__(self) -> None:
        for name in ("phi_edges", "eta_edges"):
            edges = _checked_edges(f"{name} of layer {self.id}", getattr(self, name))
            object.__setattr__(self, name, edges)
        if self.z_edges is not None:
            front_back = _checked_edges(f"z_edges of layer {self.id}", self.z_edges)
            object.__setattr__(self, "z_edges", (front_back[0], front_back[-1]))

    def __repr__(self) -> str:
        rows, columns = self.shape
        (x0, x1), (y0, y1) = ((edges[0], edges[-1]) for edges in (self.phi_edges, self.eta_edges))
        spans = f"phi {x0:g} … {x1:g} mm, eta {y0:g} … {y1:g} mm"
        return f"CartesianLayer({self.id}, {rows} phi × {columns} eta bins, {spans})"

    @property
    def shape(self) -> tuple[int, int]:
        """(n_phi, n_eta): the shape of the layer's image, last axis fastest."""
        return (len(self.phi_edges) - 1, len(self.eta_edges) - 1)

    @property
    def n_voxels(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def has_directions(self) -> bool:
        """Whether eta and phi moments are meaningful: always in a Cartesian layer."""
        return True

    @cached_property
    def phi(self) -> FloatArray:
        """(n_voxels,) phi of voxel centres in mm."""
        edges = np.asarray(self.phi_edges)
        return np.repeat((edges[:-1] + edges[1:]) / 2, self.shape[1])

    @cached_property
    def eta(self) -> FloatArray:
        """(n_voxels,) eta of voxel centres in mm."""
        edges = np.asarray(self.eta_edges)
        return np.tile((edges[:-1] + edges[1:]) / 2, self.shape[0])

    @cached_property
    def r(self) -> FloatArray:
        """(n_voxels,) distance of voxel centres from the shower axis in mm."""
        return np.asarray(np.hypot(self.eta, self.phi))

    @cached_property
    def alpha(self) -> FloatArray:
        """(n_voxels,) azimuth of voxel centres in rad, within [-pi, pi]."""
        return np.asarray(np.arctan2(self.phi, self.eta))

    @cached_property
    def areas(self) -> FloatArray:
        """(n_voxels,) transverse area of each voxel in mm²."""
        return np.outer(np.diff(self.phi_edges), np.diff(self.eta_edges)).ravel()

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `Geometry.from_dict` reads back."""
        plain: dict[str, Any] = {
            "id": self.id,
            "phi_edges": list(self.phi_edges),
            "eta_edges": list(self.eta_edges),
        }
        if self.z_edges is not None:
            plain["z_edges"] = list(self.z_edges)
        return plain


AnyLayer = Layer | CartesianLayer
