"""CaloGAN: a GAN with a network for each calorimeter layer (Paganini et al., arXiv:1712.10321, 1705.02355).

Noise, multiplied by E_inc/E_max, goes into one generator per layer (`caloforge.networks.layer_images`); from the second
layer on, attention combines its image with that of the layer before; a rectifier makes voxels non-negative, most of
them exactly zero. The critic gets from each layer features of the image, minibatch features of those, the sparsity and
its minibatch features; and from all layers their energies E_l, minibatch features of those, E_dep, |E_dep − E_inc| and
whether that is large. With σ(D) the probability that a shower is real,

    critic       minimise  −log σ(D(x)) − log(1 − σ(D(x̃)))
    generator    minimise  −log σ(D(x̃)) + λ_E |Ẽ_dep − E_inc|.

Real and generated showers are separate batches, because minibatch features and batch normalisation compare showers of
a batch. Sizes and constants are those of the authors' code (github.com/hep-lbdl/CaloGAN) with locally connected maps.
Three things differ. Minibatch features are averages (`caloforge.networks.adversaries`). The sparsity is Σ x/(x + s)/V,
the fraction of hits for s much smaller than a hit, so that it has a gradient. There, the generator takes two steps
after two of the critic, at energies that are drawn anew; here both take one, at the energies of the batch.

All energies are in units of `unit`. The term λ_E makes sense where the deposited energy is close to the incident one.
"""

from __future__ import annotations

import itertools
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.models.adversarial import AdversarialModel
from caloforge.networks.adversaries import MinibatchFeatures
from caloforge.networks.layer_images import ImageFeatures, ImageGenerator, LayerAttention
from caloforge.networks.standardise import Standardise

LARGE_DIFFERENCE = 5.0
"""|E_dep − E_inc| beyond which the critic is told so, in units of `unit`."""


class CaloGAN(AdversarialModel):
    """GAN of layer images. Features are the voxels in MeV, the first condition the incident energy in MeV.

    The generators get further conditions beside the noise, the critic beside the energies.

    Args:
        features: V, the geometry's number of voxels.
        conditions: 1, the incident energy, and the number of further ones.
        geometry: supplies the layers.
        unit: of energies in the networks, in MeV.
        largest_energy: E_max in MeV.
        noise_dim: D, dimension of the noise.
        attention: from layer to layer.
        generator_channels: of a layer's generator after the dense map, the convolution and the first local map.
        critic_channels: of a layer's part of the critic after the convolution and the three local maps.
        minibatch_features: of each of the images, the sparsities and the energies; each projects to ten numbers.
        sparsity_scale: s in MeV.
        energy_weight: λ_E.
        critic_rate: learning rate of the critic over that of the generator.
        momentum: β₁ of Adam.

    Example:
        >>> from caloforge.geometry import load_geometry
        >>> model = CaloGAN(504, 1, geometry=load_geometry("calogan"), generator_channels=[4, 4, 2])
        >>> model.eval().sample(torch.full((2, 1), 20_000.0)).shape
        torch.Size([2, 504])
    """

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        geometry: Geometry,
        unit: PositiveFloat = 1000.0,
        largest_energy: PositiveFloat = 100_000.0,
        noise_dim: PositiveInt = 1024,
        attention: bool = True,
        generator_channels: Annotated[list[PositiveInt], Field(min_length=3, max_length=3)] = [36, 16, 6],  # noqa: B006
        critic_channels: Annotated[list[PositiveInt], Field(min_length=4, max_length=4)] = [64, 16, 8, 8],  # noqa: B006
        minibatch_features: PositiveInt = 10,
        sparsity_scale: PositiveFloat = 1e-3,
        energy_weight: NonNegativeFloat = 0.05,
        critic_rate: PositiveFloat = 0.1,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5,
    ) -> None:
        super().__init__()
        if features != geometry.n_voxels or conditions < 1:
            raise CaloforgeError(
                f"calogan takes the {geometry.n_voxels} voxels and the incident energy in MeV, not {features} "
                f"features and {conditions} conditions; leave only readout_threshold in the recipe's transforms"
            )
        self.unit, self.energy_weight = unit, energy_weight
        self.latent_dim, self.critic_rate, self.momentum = noise_dim, critic_rate, momentum
        sizes = [layer.shape for layer in geometry.layers]
        first, second, third = generator_channels
        self.generator = LayerGenerators(
            sizes, noise_dim, (first, second, third), attention, unit, largest_energy, conditions - 1
        )
        one, two, three, four = critic_channels
        further = conditions - 1
        self.critic = LayerCritic(sizes, (one, two, three, four), minibatch_features, sparsity_scale / unit, further)
        self.standardise = Standardise(features, "none")

    def critic_losses(self, x: Tensor, generated: Tensor, c: Tensor) -> dict[str, Tensor]:
        given = self._given(c)
        real, fake = self.critic(x / self.unit, given), self.critic(generated / self.unit, given)
        right = 0.5 * ((real > 0).to(x) + (fake < 0).to(x))
        return {"critic_loss": functional.softplus(-real) + functional.softplus(fake), "critic_accuracy": right}

    def generator_loss(self, generated: Tensor, c: Tensor) -> Tensor:
        voxels, given = generated / self.unit, self._given(c)
        difference = (voxels.sum(dim=1) - given[:, 0]).abs()
        return functional.softplus(-self.critic(voxels, given)) + self.energy_weight * difference

    def _given(self, c: Tensor) -> Tensor:
        """c (B, C) with the incident energy in the networks' unit."""
        return torch.cat([c[:, :1] / self.unit, c[:, 1:]], dim=1)

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, D) from N(0, 1), c (B, C), E_inc in MeV first → voxels (B, V) in MeV."""
        return self.generator(z, c)


class LayerGenerators(nn.Module):
    """(noise (B, D), conditions (B, C), the incident energy in MeV first) → voxels (B, V) in MeV.

    Args:
        sizes: (a, b) of each layer.
        noise_dim: D. channels: of `ImageGenerator`.
        attention: from layer to layer.
        unit: of the images, in MeV.
        largest_energy: at which the noise is multiplied by 1, in MeV.
        further: number of conditions beside the energy.
    """

    def __init__(
        self,
        sizes: list[tuple[int, int]],
        noise_dim: int,
        channels: tuple[int, int, int],
        attention: bool,
        unit: float,
        largest_energy: float,
        further: int = 0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList([ImageGenerator(noise_dim + further, size, channels) for size in sizes])
        pairs = itertools.pairwise(sizes) if attention else ()
        self.attention = nn.ModuleList([LayerAttention(before, size) for before, size in pairs])
        self.unit, self.largest_energy = unit, largest_energy

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        h = torch.cat([z * (c[:, :1] / self.largest_energy), c[:, 1:]], dim=1)
        images = [layer(h) for layer in self.layers]
        for k, attention in enumerate(self.attention, 1):
            images[k] = attention(images[k], images[k - 1])
        return self.unit * functional.relu(torch.cat([image.flatten(1) for image in images], dim=1))


class LayerCritic(nn.Module):
    """(voxels (B, V), conditions (B, C), the incident energy first in the same unit) → logit (B,) of a real shower.

    Args:
        sizes: (a, b) of each layer.
        channels: of `ImageFeatures`.
        minibatch_features: of each kind.
        sparsity_scale: s in that unit.
        further: number of conditions beside the energy.
    """

    def __init__(
        self,
        sizes: list[tuple[int, int]],
        channels: tuple[int, int, int, int],
        minibatch_features: int,
        sparsity_scale: float,
        further: int = 0,
    ) -> None:
        super().__init__()
        self.sizes, self.sparsity_scale = sizes, sparsity_scale
        self.images = nn.ModuleList([ImageFeatures(size, channels) for size in sizes])
        n_images = [image.n_features for image in self.images if isinstance(image, ImageFeatures)]
        self.of_images = nn.ModuleList([MinibatchFeatures(n, minibatch_features) for n in n_images])
        self.of_sparsity = nn.ModuleList([MinibatchFeatures(1, minibatch_features) for _ in sizes])
        self.of_energies = MinibatchFeatures(len(sizes), minibatch_features)
        per_layer = 2 * minibatch_features + 2  # both minibatch features, sparsity, energy
        self.last = nn.Linear(sum(n_images) + per_layer * len(sizes) + 3 + minibatch_features + further, 1)

    def forward(self, voxels: Tensor, given: Tensor) -> Tensor:
        energy, further = given[:, :1], given[:, 1:]
        layers = voxels.split([a * b for a, b in self.sizes], dim=1)
        energies = torch.stack([layer.sum(dim=1) for layer in layers], dim=1)
        total = energies.sum(dim=1, keepdim=True)
        difference = (total - energy).abs()
        found = [energies / 10, total / 100, difference, 10 * (difference > LARGE_DIFFERENCE).to(voxels)]
        found += [self.of_energies(energies), further]
        parts = zip(layers, self.sizes, self.images, self.of_images, self.of_sparsity, strict=True)
        for layer, size, image, of_image, of_sparsity in parts:
            h = image(layer.unflatten(1, (1, *size)))
            sparsity = self.sparsity(layer)
            found += [h, of_image(h), sparsity, of_sparsity(sparsity)]
        return self.last(torch.cat(found, dim=1))[:, 0]

    def sparsity(self, layer: Tensor) -> Tensor:
        """(B, n) voxels of a layer → (B, 1), near the fraction of hits."""
        return (layer / (layer + self.sparsity_scale)).mean(dim=1, keepdim=True)
