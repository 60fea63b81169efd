"""The angles that Geant4's example Par04 passes, as a run knows them.

Par04's detector is a barrel: it passes the polar angle t from the beam axis, 90 degrees being normal to the layers, and
the azimuth around that axis. The mesh follows the particle, x' pointing to larger polar angles. A run that was trained
at angles from the normal of its layers (`theta`) has x' pointing away from the normal instead. So

    theta = |t − π/2|,    and x' and y' change their signs where t < π/2,

that is, showers are turned by half a circle around their axis. A run that was trained at polar angles (`polar`, as in
LEMURS' files) takes them as they are, and the azimuth (`phi`) with them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.export.formats import Mesh, Target
from caloforge.export.layout import Constant, InputPart, Quantity, quantity, symmetric

NORMAL = math.pi / 2
"""The polar angle that is normal to a barrel."""


def taken(target: Target) -> tuple[str, ...]:
    """The conditions of a run that Par04's angles determine.

    Raises:
        CaloforgeError: the run has an azimuth around the normal of its layers, which Par04 does not pass.
    """
    names = target.open_conditions
    if "phi" in names and "polar" not in names:
        raise CaloforgeError(
            "Par04 passes the azimuth around the beam axis, but the run was trained at azimuths (phi) around the "
            "normal of the layers: train it with a mesh that follows the particle, or fix phi"
        )
    return ("theta", "polar", "phi")


def conditions(polar: Tensor, azimuth: Tensor | None = None) -> dict[str, Tensor]:
    """What a run knows, from Par04's polar angle and azimuth, (B, 1) each, in rad."""
    found = {"theta": (polar - NORMAL).abs(), "polar": polar}
    return found if azimuth is None else {**found, "phi": azimuth}


def passed(values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Par04's angles for conditions that a run knows; its polar angle is on either side of the normal in turn."""
    if "theta" not in values:
        return values
    theta = values["theta"]
    side = 1 - 2 * (torch.arange(len(theta), device=theta.device) % 2)[:, None].to(theta)
    return {"polar": NORMAL + side * theta}


def polar_column(target: Target, what: str, factor: float = 1.0) -> InputPart:
    """The column of Par04's polar angle; 0 unless the run knows an angle to the normal or to the beam.

    Args:
        target: the exported generator.
        what: it is in Par04's words.
        factor: on the angle in rad.
    """
    known = target.open_conditions
    if "polar" in known:
        accepted = known["polar"].accepted
    elif "theta" in known:
        accepted = symmetric(known["theta"].accepted, NORMAL)
    else:
        return Constant([0.0], f"{what} (ignored)")
    return Quantity("polar", "rad", accepted, factor, what=what)


def azimuth_column(target: Target) -> InputPart:
    """The column of Par04's azimuth in rad; 0 unless the run knows it."""
    known = target.open_conditions
    return quantity(known["phi"]) if "phi" in known else Constant([0.0], "phi (ignored)")


def turned(mesh: Mesh, voxels: Tensor, polar: Tensor, target: Target) -> Tensor:
    """Voxels (B, V) in caloforge's order, by half a circle where the polar angle (B, 1) is below 90 degrees.

    Only for a run that was trained at angles from the normal. Done twice, nothing changes.

    Raises:
        CaloforgeError: the mesh has an odd number of bins of alpha.
    """
    if "theta" not in target.open_conditions or mesh.n_alpha == 1:
        return voxels
    if mesh.n_alpha % 2:
        raise CaloforgeError(
            f"showers cannot be turned by half a circle with {mesh.n_alpha} bins of alpha: export onnx"
        )
    shaped = voxels.reshape(-1, mesh.n_z, mesh.n_alpha, mesh.n_r)
    half = mesh.n_alpha // 2
    other = torch.cat([shaped[:, :, half:], shaped[:, :, :half]], dim=2).reshape(voxels.shape)
    return torch.where(polar < NORMAL, other, voxels)
