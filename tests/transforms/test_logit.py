"""Logit with its slope, and its inverse."""

from __future__ import annotations

import pytest
import torch

from caloforge.transforms.logit import inverse_logit, logit_with_slope


@pytest.mark.parametrize("alpha", [1e-6, 0.05])
def test_logit_comes_back_and_has_its_derivative(alpha: float) -> None:
    u = torch.linspace(0, 1, 101, dtype=torch.float64, requires_grad=True)
    y, log_slope = logit_with_slope(u, alpha)
    torch.testing.assert_close(inverse_logit(y, alpha), u)
    (slope,) = torch.autograd.grad(y.sum(), u)
    torch.testing.assert_close(log_slope[1:-1].exp(), slope[1:-1])
    assert y[0].item() == pytest.approx(torch.tensor(alpha / (1 - alpha), dtype=torch.float64).log().item())


def test_extreme_logits_stay_finite() -> None:
    u = inverse_logit(torch.tensor([-1e30, -50.0, 0.0, 50.0, 1e30]), 1e-6)
    assert u.tolist() == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0], abs=2e-6)
