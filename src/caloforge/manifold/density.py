"""Density on the manifold that is the image of a decoder (arXiv:2211.15380, section on the density).

A decoder g maps z in R^d to x = g(z) in R^D, d ≤ D. It scales volumes by sqrt(det(Jᵀ J)), J = ∂g/∂z, so that a
density p(z) becomes a density per d-dimensional volume on the manifold:

    log p(x) = log p(z) - 1/2 log det(Jᵀ J)

det(Jᵀ J) is the product of the squared singular values of J. Using these avoids squaring the condition number of
J, as forming Jᵀ J would.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jacfwd, vmap

from caloforge.errors import CaloforgeError


def log_density_on_manifold(log_p_z: Tensor, jacobian: Tensor) -> Tensor:
    """log p(z) - 1/2 log det(Jᵀ J), differentiable in both arguments.

    Args:
        log_p_z: (B,) log density of the codes.
        jacobian: (B, D, d) derivative of the decoder at the codes, d ≤ D.

    Returns:
        (B,) log density per d-dimensional volume on the manifold; +inf where the Jacobian does not have full rank,
        because the decoder then maps volumes to zero.

    Raises:
        CaloforgeError: the shapes do not fit, or d > D.
    """
    if jacobian.ndim != 3 or log_p_z.shape != jacobian.shape[:1]:
        raise CaloforgeError(
            f"the density needs log p(z) (B,) and a Jacobian (B, D, d), not {tuple(log_p_z.shape)} and "
            f"{tuple(jacobian.shape)}"
        )
    if jacobian.shape[2] > jacobian.shape[1]:
        raise CaloforgeError(
            f"a decoder from {jacobian.shape[2]} to {jacobian.shape[1]} dimensions has no density on its "
            "image; the code must not have more dimensions than the output"
        )
    return log_p_z - torch.linalg.svdvals(jacobian).log().sum(dim=-1)


def decoder_jacobian(decoder: Callable[[Tensor], Tensor], z: Tensor, chunk_size: int | None = None) -> Tensor:
    """Jacobian of each decoded point with respect to its own code, by forward-mode differentiation.

    Args:
        decoder: maps (B, d) to (B, D), row by row (a module in `eval` mode).
        z: (B, d) codes.
        chunk_size: number of codes differentiated at once, to bound memory; None does all.

    Returns:
        (B, D, d) Jacobians, in the dtype of `z`.
    """

    def decode_one(code: Tensor) -> Tensor:
        return decoder(code.unsqueeze(0)).squeeze(0)

    return vmap(jacfwd(decode_one), chunk_size=chunk_size)(z)


def manifold_log_prob(
    log_prob_z: Callable[[Tensor], Tensor],
    decoder: Callable[[Tensor], Tensor],
    z: Tensor,
    *,
    chunk_size: int | None = None,
) -> Tensor:
    """Log density on the manifold at x = decoder(z).

    The density is per d-dimensional volume in the output space of `decoder`: if that is the space of preprocessed
    voxels, include the inverse preprocessing in `decoder` for a density in MeV. The Jacobians take B · D · d numbers
    of memory, so pass a large sample in parts.

    Args:
        log_prob_z: maps codes (B, d) to their log density (B,); bind the condition of a conditional density first.
        decoder: maps (B, d) to (B, D), row by row (a module in `eval` mode).
        z: (B, d) codes.
        chunk_size: as in `decoder_jacobian`.

    Returns:
        (B,) log densities.

    Raises:
        CaloforgeError: from `log_density_on_manifold`.
    """
    return log_density_on_manifold(log_prob_z(z), decoder_jacobian(decoder, z, chunk_size))
