"""Density of points that a decoder lays on a manifold (arXiv:2211.15380, section on the density).

A decoder g maps z in R^d to x = g(z) in R^D, d ≤ D. Volumes on the image are those of z times
sqrt(det(Jᵀ J)), J = ∂g/∂z, so that a density p(z) becomes one per d-dimensional volume on the manifold:

    log p(x) = log p(z) - 1/2 log det(Jᵀ J)

det(Jᵀ J) is the product of the squared singular values of J. Working with these avoids the square of J's
condition number that forming Jᵀ J would bring.
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
        (B,) log density per d-dimensional volume on the manifold; +inf where the decoder's derivative lacks
        full rank, because it then squeezes a volume to nothing.

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
            "image; the code must not be the larger one"
        )
    return log_p_z - torch.linalg.svdvals(jacobian).log().sum(dim=-1)


def decoder_jacobian(decoder: Callable[[Tensor], Tensor], z: Tensor, chunk_size: int | None = None) -> Tensor:
    """Derivative of each decoded point in its own code, by forward-mode differentiation.

    Args:
        decoder: maps (B, d) to (B, D), every row by itself (a module in `eval` mode).
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

    The density is per d-dimensional volume of the space that `decoder` writes to: with a decoder that ends in
    preprocessed voxels, put the inverse of the preprocessing into `decoder` to have it in MeV. The Jacobians
    take B · D · d numbers of memory: give a large sample in parts.

    Args:
        log_prob_z: maps codes (B, d) to their log density (B,); a conditional one with its condition bound.
        decoder: maps (B, d) to (B, D), every row by itself (a module in `eval` mode).
        z: (B, d) codes.
        chunk_size: as in `decoder_jacobian`.

    Returns:
        (B,) log densities.

    Raises:
        CaloforgeError: as `log_density_on_manifold`.
    """
    return log_density_on_manifold(log_prob_z(z), decoder_jacobian(decoder, z, chunk_size))
