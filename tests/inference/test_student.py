"""Velocity networks at fixed times give what the trained ones give."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from caloforge.geometry import load_geometry
from caloforge.inference import optimised
from caloforge.inference.student import ROWS, at_time
from caloforge.models.cascade import Cascade
from caloforge.models.flow_matching import FlowMatching
from caloforge.networks.velocities import LayerVelocity, ResidualVelocity, SectorVelocity

FORMS = pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])


def shaken(network: nn.Module) -> nn.Module:
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return network.eval()


@FORMS
@pytest.mark.parametrize(
    "make",
    [
        lambda: ResidualVelocity(30, 2, 16, 2),
        lambda: ResidualVelocity(30, 2, 16, 1),
        lambda: SectorVelocity(30, 2, 10, 16, 24, 3),
        lambda: SectorVelocity(30, 2, 5, 12, 8, 1, groups=4),
        lambda: SectorVelocity(30, 2, 1, 8, 8, 2),
        lambda: SectorVelocity(30, 22, 10, 16, 24, 2, sector_conditions=2),
        lambda: LayerVelocity([0, 1, 2] * 10, [-1, 2], 16, 24, 2),
    ],
)
@pytest.mark.parametrize("t", [0.0, 0.5])
def test_a_network_at_a_fixed_time_gives_the_same(make: Callable[[], nn.Module], t: float, traced: bool) -> None:
    network = shaken(make()).double()
    generator = torch.Generator().manual_seed(1)
    n = 2 * ROWS + 7  # more than one piece
    own = network.sectors * network.sector_conditions if isinstance(network, SectorVelocity) else 0
    x = torch.randn(n, 30, generator=generator).double()
    c = torch.randn(n, 2 + own, generator=generator).double()
    with torch.no_grad():
        expected = 0.5 * network(x, x.new_tensor([t]), c)
        torch.testing.assert_close(at_time(network, t, 0.5, traced)(x, c), expected, rtol=1e-4, atol=1e-4)


@FORMS
@pytest.mark.parametrize("strides", [1, 3])
def test_an_optimised_student_has_its_own_copy_of_the_weights(strides: int, traced: bool) -> None:
    model = FlowMatching(20, 1, network="sectors", sectors=10, width=16, blocks=2, student_strides=strides)
    shaken(model)
    model.scale.fill_(1.7)
    model.shift.fill_(-0.4)
    noise, c = torch.randn(9, 20), torch.randn(9, 1)
    with torch.no_grad():
        fast = optimised(model, traced=traced)
        assert fast is not None
        expected = model.decode(noise, c)
        for parameter in model.parameters():
            parameter.zero_()
        torch.testing.assert_close(fast(noise, c), expected, rtol=1e-4, atol=1e-4)


def test_only_a_student_is_optimised() -> None:
    settings = {"network": "sectors", "sectors": 10, "width": 16, "blocks": 1}
    assert optimised(FlowMatching(20, 1, **settings)) is None  # type: ignore[arg-type]
    assert optimised(FlowMatching(20, 1, **settings, student_strides=1, sampler="teacher")) is None  # type: ignore[arg-type]
    assert optimised(FlowMatching(20, 1, **settings, student_strides=1)) is not None  # type: ignore[arg-type]


@FORMS
@pytest.mark.parametrize(("hits", "multipoles"), [(False, False), (True, False), (True, True)])
def test_an_optimised_cascade_gives_what_the_cascade_gives(traced: bool, hits: bool, multipoles: bool) -> None:
    small = {"kind": "flow_matching", "width": 16, "blocks": 1, "student_strides": 1}
    wanted = {"layers": small, "rings": small, "voxels": {**small, "network": "sectors"}}
    if multipoles:
        wanted["multipoles"] = wanted["voxels"]
    model = Cascade(368, 1, geometry=load_geometry("ds1-photons"), hits=hits, **wanted)  # type: ignore[arg-type]
    shaken(model.models)
    noise, c = torch.randn(50, model.latent_dim), torch.full((50, 1), 4096.0)
    fast = optimised(model, traced=traced)
    assert fast is not None
    with torch.no_grad():
        off = (fast(noise, c) - model.decode(noise, c)).abs()
    # Rounding may turn the presence of a voxel at the edge, and with it its neighbours' shares; rarely.
    assert (off.amax(dim=1) < 1e-3 * 4096).float().mean() > 0.9
    assert off.mean() < 1e-4 * 4096


def test_a_cascade_with_a_teacher_among_its_levels_is_not_optimised() -> None:
    small = {"kind": "flow_matching", "width": 16, "blocks": 1}
    model = Cascade(368, 1, geometry=load_geometry("ds1-photons"), layers=small, rings=small, voxels=small)
    assert optimised(model) is None
