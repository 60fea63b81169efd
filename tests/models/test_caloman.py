"""CaloMan: its published size, its two steps, and its density on the manifold."""

from __future__ import annotations

import math

import pytest
import torch

from caloforge.configured import checked_settings
from caloforge.errors import CaloforgeError
from caloforge.geometry import load_geometry
from caloforge.models.base import n_parameters
from caloforge.models.caloman import CaloMan
from caloforge.models.dataset import ShowerDataset
from caloforge.networks.autoencoder import Autoencoder
from caloforge.networks.residual import mlp


def test_published_sizes() -> None:
    """369 features, d = 20, three layers of 512: counted layer by layer."""
    model = CaloMan(369, 1, latent_dim=20)
    encoder = (369 * 512 + 512) + 2 * (512 * 512 + 512) + (512 * 40 + 40)
    decoder = (20 * 512 + 512) + 2 * (512 * 512 + 512) + (512 * 370 + 370)
    assert n_parameters([model.autoencoder]) == encoder + decoder


def test_vae_loss_is_the_negative_elbo_by_hand() -> None:
    """With networks that output zero: q = N(0, 1), no divergence, and p(x|z) = N(0, 1)."""
    vae = Autoencoder(3, 0, 2, [4])
    torch.nn.init.zeros_(vae.encoder[-1].weight)
    torch.nn.init.zeros_(vae.encoder[-1].bias)
    torch.nn.init.zeros_(vae.decoder[-1].weight)
    torch.nn.init.zeros_(vae.decoder[-1].bias)
    x = torch.tensor([[1.0, 2.0, 0.0]])
    expected = 0.5 * 5 + 1.5 * math.log(2 * math.pi)
    torch.testing.assert_close(vae.loss(x, x[:, :0]), torch.tensor([expected]))
    vae.encoder[-1].bias.data[:] = torch.tensor([1.0, 0.0, math.log(4.0), 0.0])
    divergence = 0.5 * (1 + 4 - 1 - math.log(4.0))
    torch.testing.assert_close(vae.loss(x, x[:, :0]), torch.tensor([expected + divergence]))


def test_codes_are_scaled_by_their_largest_element_in_training() -> None:
    torch.manual_seed(0)
    model = CaloMan(6, 1, latent_dim=2, hidden=[8])
    x, c = torch.rand(100, 6), torch.rand(100, 1)
    stage = model.stages()[1]
    data = ShowerDataset.of(x, c)
    with torch.no_grad():
        stage.fit(data)
    codes, _ = stage.prepare(data).take(slice(None))
    assert codes.abs().max().item() == pytest.approx(1.0)
    torch.testing.assert_close(codes * model.scale, model.autoencoder.encode(x, c[:, :0])[0])


def test_the_flow_starts_where_codes_and_noise_agree() -> None:
    """`data`: noise of the training codes has mean 0 and width 1 from the first step; `identity`: it does not."""
    torch.manual_seed(0)
    x, c = 0.01 * torch.rand(500, 6), torch.rand(500, 1)
    data = ShowerDataset.of(x, c)
    for start, agrees in (("data", True), ("identity", False)):
        model = CaloMan(6, 1, latent_dim=3, hidden=[8], flow_start=start)
        stage = model.stages()[1]
        with torch.no_grad():
            stage.fit(data)
            z, _ = model.density(*stage.prepare(data).take(slice(None)))
        close = bool((z.std(dim=0) - 1).abs().max() < 0.2 and z.mean(dim=0).abs().max() < 0.2)
        assert close == agrees


def test_a_standardised_encoder_does_not_see_the_scale_of_the_features() -> None:
    torch.manual_seed(0)
    x, c = torch.rand(200, 6), torch.rand(200, 1)
    means = []
    for factor in (1.0, 1e-3):
        torch.manual_seed(1)
        model = CaloMan(6, 1, latent_dim=2, hidden=[8], standardised_encoder=True)
        model.stages()[0].fit(ShowerDataset.of(factor * x, c))
        with torch.no_grad():
            means.append(model.codes(factor * x, c))
    torch.testing.assert_close(means[0], means[1], rtol=1e-3, atol=1e-4)
    published = CaloMan(6, 1, latent_dim=2)
    before = {name: value.clone() for name, value in published.state_dict().items()}
    published.stages()[0].fit(ShowerDataset.of(x, c))  # sees the features as they are
    assert all(torch.equal(value, before[name]) for name, value in published.state_dict().items())


def test_decoding_is_deterministic_and_the_only_randomness_is_the_noise() -> None:
    torch.manual_seed(0)
    model = CaloMan(6, 1, latent_dim=2, hidden=[8]).eval()
    noise, c = torch.randn(5, 2), torch.rand(5, 1)
    with torch.no_grad():
        assert torch.equal(model.decode(noise, c), model.decode(noise, c))


def test_density_on_the_manifold_of_a_linear_decoder() -> None:
    """A linear decoder x = A z has det(AᵀA)^½ everywhere; log p(x) follows from that of the codes."""
    torch.manual_seed(1)
    model = CaloMan(5, 1, latent_dim=2, hidden=[]).double().eval()
    x, c = torch.rand(7, 5, dtype=torch.float64), torch.rand(7, 1, dtype=torch.float64)
    model.scale.fill_(3.0)
    weight = model.autoencoder.decoder[-1].weight[:-1] * 3.0
    volume = 0.5 * torch.logdet(weight.T @ weight)
    expected = model.density.log_prob(model.codes(x, c), c) - volume
    torch.testing.assert_close(model.log_prob(x, c), expected)


def test_auto_takes_the_intrinsic_dimension_of_the_training_set() -> None:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(2000, 5, generator=generator) @ torch.randn(5, 60, generator=generator)
    data = ShowerDataset.of(x, torch.rand(2000, 1))
    settings = CaloMan.settings_from_data({"latent_dim": "auto"}, data, load_geometry("ds1-photons"))
    assert settings["latent_dim"] == 5
    assert CaloMan.settings_from_data({"latent_dim": 12}, data, load_geometry("ds1-photons"))["latent_dim"] == 12


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"hidden": [8, -3]}, "'hidden.1' is -3"),
        ({"hidden": [0]}, "'hidden.0' is 0"),
        ({"flow_layers": 0}, "'flow_layers' is 0"),
        ({"flow_bins": 1}, "'flow_bins' is 1"),
        ({"flow_bound": 0.0}, "'flow_bound' is 0"),
        ({"flow_width": 0}, "'flow_width' is 0"),
        ({"flow_blocks": -1}, "'flow_blocks' is -1"),
        ({"flow_start": "noise"}, "'flow_start' is 'noise'"),
    ],
)
def test_settings_out_of_range_are_named_before_anything_is_built(setting: dict[str, object], message: str) -> None:
    with pytest.raises(CaloforgeError, match=message):
        checked_settings(CaloMan, {"latent_dim": 4, **setting}, "model")


def test_a_width_below_one_is_refused_by_constructor_and_network() -> None:
    with pytest.raises(CaloforgeError, match=r"'hidden.0' is -3"):
        CaloMan(6, 1, latent_dim=2, hidden=[-3])
    with pytest.raises(CaloforgeError, match=r"\[6, -3, 4\]"):
        mlp([6, -3, 4])


def test_least_sizes_that_are_accepted_work() -> None:
    model = CaloMan(4, 1, latent_dim=2, hidden=[1], flow_layers=1, flow_bins=2, flow_width=1, flow_blocks=0)
    assert model.sample(torch.rand(3, 1)).shape == (3, 4)


@pytest.mark.parametrize(("latent_dim", "message"), [("auto", "needs the training set"), (1, "2 … 6"), (7, "2 … 6")])
def test_bad_latent_dim(latent_dim: int, message: str) -> None:
    with pytest.raises(CaloforgeError, match=message):
        CaloMan(6, 1, latent_dim=latent_dim)
