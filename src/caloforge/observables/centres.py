"""Centres of energy and first moments.

EC_x = Σ x_i e_i / (E_l + 1e-16) per layer for x = eta, phi, r (CaloChallenge, arXiv:2410.21611); eta and phi
only on layers that have directions. The first moments are those of the whole shower.
"""

from __future__ import annotations

import numpy as np

from caloforge.observables.axes import length
from caloforge.observables.base import observable, with_directions
from caloforge.observables.view import SMALLEST, View


def centre(view: View, position: int, axis: str) -> np.ndarray:
    """(N,) EC of a layer along `axis` (eta, phi or r) in mm; 0 where the layer is empty."""
    return view.sums(position, axis) / (view.layer_energy(position) + SMALLEST)


@observable(
    "ec_eta",
    per="layer",
    label="centre of energy in eta",
    symbol="centre of energy in η",
    unit="mm",
    group="centres",
    axis=length("centre", "eta"),
    where=with_directions,
)
def centre_eta(view: View, position: int) -> np.ndarray:
    """(N,) centre of energy in eta, mm."""
    return centre(view, position, "eta")


@observable(
    "ec_phi",
    per="layer",
    label="centre of energy in phi",
    symbol="centre of energy in φ",
    unit="mm",
    group="centres",
    axis=length("centre", "phi"),
    where=with_directions,
)
def centre_phi(view: View, position: int) -> np.ndarray:
    """(N,) centre of energy in phi, mm."""
    return centre(view, position, "phi")


@observable("ec_r", per="layer", label="centre of energy in r", unit="mm", group="centres", axis=length("ec_r", "r"))
def centre_r(view: View, position: int) -> np.ndarray:
    """(N,) centre of energy in r, mm."""
    return centre(view, position, "r")


def _transverse(view: View, axis: str) -> np.ndarray:
    # A ring with one alpha bin is centred on the axis: it contributes energy, but no moment.
    total = np.zeros(len(view.energies))
    for position, layer in enumerate(view.geometry.layers):
        if layer.has_directions:
            total += view.sums(position, axis)
    return total / (view.deposited + SMALLEST)


def _axis_of_x(view: View) -> tuple[str, str]:
    # On polar layers eta = r cos(alpha) is x; CaloGAN's Cartesian images have phi along x.
    return ("phi", "eta") if view.geometry.layers[0].kind == "cartesian" else ("eta", "phi")


@observable("mean_x", label="mean x", unit="mm", group="shower")
def mean_x(view: View) -> np.ndarray:
    """(N,) first moment in x, mm; rings without alpha bins count as centred on the axis."""
    return _transverse(view, _axis_of_x(view)[0])


@observable("mean_y", label="mean y", unit="mm", group="shower")
def mean_y(view: View) -> np.ndarray:
    """(N,) first moment in y, mm; rings without alpha bins count as centred on the axis."""
    return _transverse(view, _axis_of_x(view)[1])


@observable("mean_z", label="mean z", group="shower")
def mean_z(view: View) -> np.ndarray:
    """(N,) first moment along the shower axis: in mm if all layers have depths, otherwise in layer indices."""
    layers = view.geometry.layers
    known = [layer.z_edges for layer in layers if layer.z_edges is not None]
    middle = [(a + b) / 2 for a, b in known] if len(known) == len(layers) else list(map(float, range(len(layers))))
    total = np.sum([z * view.layer_energy(k) for k, z in enumerate(middle)], axis=0)
    return np.asarray(total / (view.deposited + SMALLEST))
