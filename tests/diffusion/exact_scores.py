"""Distributions whose score is known at every time: what the tests of diffusion hold samplers against."""

from __future__ import annotations

import torch
from torch import Tensor

from caloforge.diffusion import Schedule
from caloforge.diffusion.probability_flow import Score


class Mixture:
    """Gaussians of isotropic widths: Σ w_k N(m_k, s_k²); noised, Σ w_k N(α m_k, α² s_k² + σ²).

    Args:
        weights: (K,). means: (K, F). widths: (K,).
    """

    def __init__(self, weights: list[float], means: list[list[float]], widths: list[float]) -> None:
        self.weights, self.means, self.widths = (torch.tensor(v, dtype=torch.float64) for v in (weights, means, widths))

    @property
    def mean(self) -> Tensor:
        """(F,)."""
        return self.weights @ self.means

    @property
    def std(self) -> Tensor:
        """(F,) standard deviation of each feature."""
        second = self.weights @ (self.means**2 + self.widths[:, None] ** 2)
        return torch.sqrt(second - self.mean**2)

    def log_density(self, x_t: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
        """(B,) log p_t."""
        alpha_t, sigma_t = schedule.alpha(t), schedule.sigma(t)
        variance = (alpha_t * self.widths) ** 2 + sigma_t**2
        squared = ((x_t[:, None, :] - alpha_t * self.means) ** 2).sum(dim=2)
        n = self.means.shape[1]
        terms = self.weights.log() - 0.5 * squared / variance - 0.5 * n * torch.log(2 * torch.pi * variance)
        return torch.logsumexp(terms, dim=1)

    def score(self, schedule: Schedule) -> Score:
        """∇ log p_t in closed form."""

        def score(x_t: Tensor, t: Tensor) -> Tensor:
            alpha_t, sigma_t = schedule.alpha(t), schedule.sigma(t)
            variance = (alpha_t * self.widths) ** 2 + sigma_t**2
            offsets = alpha_t * self.means - x_t[:, None, :]
            n = self.means.shape[1]
            logits = self.weights.log() - 0.5 * (offsets**2).sum(dim=2) / variance - 0.5 * n * variance.log()
            return ((torch.softmax(logits, dim=1) / variance)[:, :, None] * offsets).sum(dim=1)

        return score


def gaussian_score(covariance: Tensor, schedule: Schedule) -> Score:
    """The score of N(0, covariance), noised: −(α² C + σ² 1)⁻¹ x."""
    eigenvalues, vectors = torch.linalg.eigh(covariance)

    def score(x_t: Tensor, t: Tensor) -> Tensor:
        variance = schedule.alpha(t) ** 2 * eigenvalues + schedule.sigma(t) ** 2
        return -(x_t @ vectors / variance) @ vectors.T

    return score
