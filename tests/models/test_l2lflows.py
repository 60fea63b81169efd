"""L2LFlows: the density is the product of the layers' conditionals, in the order of sampling, each embedded once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, load_geometry
from caloforge.models.l2lflows import L2LFlows, LayerByLayer
from caloforge.networks.flows import Flow
from caloforge.training import TrainingSettings, fit

TINY: dict[str, Any] = {"energy_blocks": 2, "energy_width": 16, "shape_blocks": 2, "shape_width": 16, "embedding": 3}
TWO_LAYERS = (2, 2)


def _tiny(sizes: tuple[int, ...], **settings: Any) -> L2LFlows:
    torch.manual_seed(0)
    layers = [{"id": k, "r_edges": list(range(n + 1))} for k, n in enumerate(sizes)]
    geometry = Geometry.from_dict({"name": "toy", "layers": layers})
    model = L2LFlows(geometry.n_voxels, 1, geometry=geometry, **{**TINY, "embedding_width": 16, **settings})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval()


def _parts(model: L2LFlows) -> LayerByLayer:
    (step,) = model.shapes.steps
    assert isinstance(step, LayerByLayer)
    return step


def _conditionals(model: L2LFlows, y: Tensor, given: Tensor) -> list[Tensor]:
    """log p(y_l | y_{l−n} … y_{l−1}, given), (B,) for each layer."""
    parts, layers = _parts(model), y.split(model.layers.sizes, dim=1)
    found = []
    for k, flow in enumerate(parts.flows):
        assert isinstance(flow, Flow)
        found.append(flow.log_prob(layers[k], parts.given(k, layers, given)))
    return found


@pytest.mark.parametrize("flow", ["autoregressive", "coupling"])
def test_the_density_is_the_product_of_its_conditionals(flow: str) -> None:
    model = _tiny((3, 2, 4), flow=flow)
    y, given = torch.randn(20, 9), torch.randn(20, 4)
    torch.testing.assert_close(model.shapes.log_prob(y, given), torch.stack(_conditionals(model, y, given)).sum(dim=0))


@pytest.mark.parametrize("flow", ["autoregressive", "coupling"])
def test_integrated_over_the_last_layer_it_is_the_density_of_the_first(flow: str) -> None:
    """Two layers of two: ∫ p(y_0, y_1) dy_1 = p(y_0) on a grid, and ∫ p(y_0) dy_0 = 1."""
    model = _tiny(TWO_LAYERS, flow=flow, bound=3.0).double()
    axis = torch.linspace(-6, 6, 61, dtype=torch.float64)
    grid, cell = torch.cartesian_prod(axis, axis), (axis[1] - axis[0]).item() ** 2
    given = torch.tensor([[0.3, -1.0, 0.5]], dtype=torch.float64)
    with torch.no_grad():
        for first in grid[torch.randint(len(grid), (5,))] / 3:
            y = torch.cat([first.expand_as(grid), grid], dim=1)
            joint = model.shapes.log_prob(y, given.expand(len(y), -1)).exp().sum() * cell
            alone = _conditionals(model, y[:1], given)[0].exp()
            assert joint.item() == pytest.approx(alone.item(), rel=0.01)
        y = torch.cat([grid, grid], dim=1)
        alone = _conditionals(model, y, given.expand(len(y), -1))[0].exp()
        assert alone.sum().item() * cell == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("flow", ["autoregressive", "coupling"])
def test_samples_are_the_inverse(flow: str) -> None:
    model = _tiny((3, 2, 4), flow=flow).double()
    y, given = torch.randn(10, 9).double(), torch.randn(10, 4).double()
    with torch.no_grad():
        z, log_det = model.shapes(y, given)
        back, log_inverse = model.shapes.inverse(z, given)
    torch.testing.assert_close(back, y)
    torch.testing.assert_close(log_inverse, -log_det)


def test_a_layer_depends_on_so_many_before_it_and_on_none_behind() -> None:
    model = _tiny((2, 2, 2, 2), previous=2)
    z, given = torch.randn(1, 8), torch.randn(1, 5)
    with torch.no_grad():
        y, _ = model.shapes.inverse(z, given)
        changed = z.clone()
        changed[:, :2] += 1.0  # of the first layer
        moved = (model.shapes.inverse(changed, given)[0] - y).abs().view(4, 2).sum(dim=1)
        noise, _ = model.shapes(y, given)
        later = y.clone()
        later[:, :2] += 0.1
        seen = (model.shapes(later, given)[0] - noise).abs().view(4, 2).sum(dim=1)
        later = y.clone()
        later[:, 6:] += 0.1
        behind = (model.shapes(later, given)[0] - noise).abs().view(4, 2).sum(dim=1)
    assert (moved > 0).all()  # by way of the layers between, the last one too
    assert (seen > 0).tolist() == [True, True, True, False]  # given these, the last one sees two layers only
    assert (behind > 0).tolist() == [False, False, False, True]


def test_a_sample_embeds_each_layers_predecessors_once() -> None:
    model, calls = _tiny((3, 2, 4)), [0, 0, 0]
    for k, network in enumerate(_parts(model).embeddings):
        network.register_forward_hook(lambda *_, k=k: calls.__setitem__(k, calls[k] + 1))
    with torch.no_grad():
        model.sample(torch.full((50, 1), 100.0), torch.Generator().manual_seed(1))
    assert calls == [0, 1, 1]  # the first layer has none


def test_showers_whose_layers_are_correlated() -> None:
    """The share of the brightest voxel is nearly the same in both layers; without the embedding it is independent."""
    generator = torch.Generator().manual_seed(2)

    def showers(n: int) -> tuple[Tensor, Tensor]:
        share = torch.rand(n, 1, generator=generator) * 0.6 + 0.2
        near = (share + 0.05 * torch.randn(n, 1, generator=generator)).clamp(0.05, 0.95)
        c = 100 + 100 * torch.rand(n, 1, generator=generator)
        x = torch.cat([share, 1 - share, near, 1 - near], dim=1) * c * 0.4
        return x * (1 + 0.05 * torch.randn(n, 1, generator=generator)), c

    found = {}
    for previous in (0, 5):
        model = _tiny(TWO_LAYERS, flow="coupling", previous=previous, standardise=True, bound=6.0, energy_blocks=1)
        settings = {"epochs": 5, "batch_size": 200, "learning_rate": 1e-2, "schedule": "cosine", "device": "cpu"}
        settings["stages"] = {"layer_energies": {"epochs": 1}}
        fit(model, showers(3000), showers(200), TrainingSettings(**settings))  # type: ignore[arg-type]
        with torch.no_grad():
            x = model.eval().sample(torch.full((2000, 1), 150.0), torch.Generator().manual_seed(3))
        shares = model.layers.shares(x)[:, [0, 2]]
        assert shares.mean(dim=0).tolist() == pytest.approx([0.5, 0.5], abs=0.03)
        found[previous] = torch.corrcoef(shares.T)[0, 1].item()
    assert abs(found[0]) < 0.1
    assert found[5] > 0.85  # 0.96 in truth


def test_no_coupling_of_a_single_voxel() -> None:
    with pytest.raises(CaloforgeError, match="a layer of one voxel has no coupling"):
        _tiny((1, 3), flow="coupling")
    assert torch.isfinite(_tiny((1, 3)).sample(torch.full((5, 1), 100.0))).all()


def test_other_features_than_the_voxels() -> None:
    with pytest.raises(CaloforgeError, match="l2lflows takes the 368 voxels"):
        L2LFlows(369, 1, geometry=load_geometry("ds1-photons"))
