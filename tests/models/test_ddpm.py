"""DDPM: the mixture it must find by either sampler, and networks that are CaloScore's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from caloforge.geometry import Geometry
from caloforge.models.caloscore import CaloScore
from caloforge.models.ddpm import DDPM
from models.two_modes import check_two_modes, trained

SMALL: dict[str, Any] = {"network": "mlp", "width": 64, "blocks": 2, "embedding": 32, "standardise": "each"}


def _model(geometry: Geometry, **settings: Any) -> DDPM:
    torch.manual_seed(0)
    return DDPM(2, 1, geometry=geometry, **{**SMALL, "timesteps": 50, **settings})


def test_finds_both_modes(small_geometry: Geometry) -> None:
    """Ancestral sampling, and DDIM in fewer steps with the same weights."""
    model = trained(_model(small_geometry)).eval()
    check_two_modes(model)
    other = _model(small_geometry, sampler="ddim", steps=25).eval()
    other.load_state_dict(model.state_dict())
    check_two_modes(other)


def test_networks_are_caloscores(small_geometry: Geometry) -> None:
    settings: dict[str, Any] = {"channels": [4, 8, 8], "embedding": 8}
    own = DDPM(14, 1, geometry=small_geometry, **settings)
    other = CaloScore(14, 1, geometry=small_geometry, **settings)
    assert {n: p.shape for n, p in own.state_dict().items()} == {n: p.shape for n, p in other.state_dict().items()}


@pytest.mark.parametrize(("settings", "random"), [({"eta": 0.0}, False), ({"eta": 0.5}, True)])
def test_ddim_draws_noise_only_at_the_start_unless_eta_says_so(
    small_geometry: Geometry, settings: dict[str, float], random: bool
) -> None:
    model = _model(small_geometry, sampler="ddim", steps=5, **settings).eval()
    generator, alone = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    with torch.no_grad():
        model.sample(torch.zeros(4, 1), generator)
    torch.randn(4, 2, generator=alone)
    assert torch.equal(generator.get_state(), alone.get_state()) is not random


def test_settings_of_the_present_sampler(small_geometry: Geometry) -> None:
    assert _model(small_geometry).sampling_settings() == {"sampler", "variance"}
    assert _model(small_geometry, sampler="ddim").sampling_settings() == {"sampler", "steps", "eta"}
