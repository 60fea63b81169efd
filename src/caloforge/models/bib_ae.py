"""BIB-AE: an autoencoder whose critics look at showers, differences and codes (Buhmann et al., arXiv:2005.05334).

The bounded information bottleneck autoencoder (arXiv:1912.00830) encodes a shower x as z = μ + σ ε and decodes it,
with further noise n, to x̂ = D(z, n, c). Critics C(x, x̂), which sees x̂ and the difference x̂ − x, and C_L(z), which sees
one number of the code at a time, are those of a Wasserstein GAN with gradient penalty:

    critics          minimise  C(x, x̂) − C(x, x) + λ (‖∇C‖ − 1)²  +  C_L(z) − C_L(ε) + λ (‖∇C_L‖ − 1)²
    encoder, decoder minimise  −C(x, x̂) − w_L C_L(z) + β KL(q(z | x) ‖ N(0, 1)) + w_M MMD(z, ε),

the last one the maximum mean discrepancy, with two Gaussian kernels, between codes and normal numbers. There is no
pixel-wise term, so that nothing blurs the showers. A second stage trains a post-processor P on frozen reconstructions,

    minimise  |P(x̂) − x̂|²/F + w_P Σ_w MMD(sorted P(x̂), sorted x),

a network that is the same for each voxel and gives the spectrum of voxels its shape: the discrepancy compares windows w
of consecutive voxels in order of energy, shower by shower. A new shower is P(D(z, n, c)) with normal z and n.

Weights, kernels and numbers of steps are those of the authors' code (github.com/FLC-QU-hep/getting_high). What differs
from it: networks are dense, not three-dimensional convolutions on 30 × 30 × 30 cells, and work on standardised
features, so that any geometry and transforms are possible; both critics learn at the same rate, and see a new batch in
each step; the post-processor starts as the identity instead of being trained to it, and the autoencoder is frozen then.
Codes are drawn from N(0, 1), not from a density fitted to them as in arXiv:2102.12491.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from caloforge.models.adversarial import AdversarialModel, AdversarialStage
from caloforge.models.dataset import Pair
from caloforge.models.stages import Stage
from caloforge.networks.residual import mlp
from caloforge.networks.standardise import By, Standardise
from caloforge.sharing import part_of


class BIBAE(AdversarialModel):
    """Bounded information bottleneck autoencoder with post-processor.

    Args:
        features: F, number of features after the transforms.
        conditions: C, number of conditions, given to all networks but the latent critic.
        code_dim: d, numbers that the encoder gives.
        noise_dim: further numbers that the decoder gets.
        hidden: widths of the encoder's hidden layers; the decoder's are the same in reversed order.
        critic_hidden: widths of the critic's hidden layers; half the first sees the difference, half the shower.
        beta: β, weight of the Kullback–Leibler divergence, summed over the code.
        latent_weight: w_L, of the latent critic.
        mmd_weight: w_M, of the discrepancy of the codes.
        penalty: λ of both critics.
        critic_steps: steps of the critics for one of the autoencoder.
        momentum: β₁ of Adam.
        post_width: hidden units of the post-processor; 0 for none.
        post_weight: w_P, of the discrepancy of sorted voxels.
        post_kernel: α of its kernel exp(−α (a − b)²), of standardised features.
        post_window: consecutive voxels that are compared; half of them are in the next window too.
        standardise: features to mean 0 and width 1: `none`, `all` with one mean and width, `each` with its own.

    Example:
        >>> model = BIBAE(369, 1, code_dim=4, noise_dim=8, hidden=[32], critic_hidden=[32])
        >>> model.sample(torch.rand(2, 1)).shape
        torch.Size([2, 369])
    """

    critic: Critics
    generator: NoisyAutoencoder

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        code_dim: PositiveInt = 24,
        noise_dim: NonNegativeInt = 488,
        hidden: Annotated[list[PositiveInt], Field(min_length=1)] = [512, 512, 512],  # noqa: B006 - read only, and shown in the schema
        critic_hidden: Annotated[list[PositiveInt], Field(min_length=1)] = [256, 256, 256],  # noqa: B006
        beta: NonNegativeFloat = 0.05,
        latent_weight: NonNegativeFloat = 100.0,
        mmd_weight: NonNegativeFloat = 100.0,
        penalty: NonNegativeFloat = 10.0,
        critic_steps: PositiveInt = 5,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        post_width: NonNegativeInt = 128,
        post_weight: NonNegativeFloat = 5.0,
        post_kernel: PositiveFloat = 200.0,
        post_window: Annotated[int, Field(ge=2)] = 50,
        standardise: By = "all",
    ) -> None:
        super().__init__()
        self.critic = Critics(features, conditions, critic_hidden)
        self.generator = NoisyAutoencoder(features, conditions, code_dim, noise_dim, hidden)
        self.post_processor = PostProcessor(conditions, post_width) if post_width else None
        self.features, self.code_dim, self.latent_dim = features, code_dim, code_dim + noise_dim
        self.beta, self.latent_weight, self.mmd_weight, self.penalty = beta, latent_weight, mmd_weight, penalty
        self.critic_steps, self.momentum = critic_steps, momentum
        self.post_weight, self.post_kernel, self.window = post_weight, post_kernel, min(post_window, features)
        self.standardise = Standardise(features, standardise)

    def training_only(self) -> frozenset[str]:
        """Critics and encoder."""
        return frozenset({"critic", "generator.encoder"})

    # ---- the autoencoder and its critics ---------------------------------------------------------------------

    def stages(self) -> list[Stage]:
        """`model`, the autoencoder and its critics, and `post_processor` where there is one."""
        stages: list[Stage] = [AdversarialStage(self)]
        if self.post_processor is not None:
            stages.append(
                Stage(
                    "post_processor",
                    self._post_loss,
                    self.post_processor.parameters(),
                    prepare=lambda data: data.map(self._pairs, "each batch"),
                )
            )
        return stages

    def generated(self, x: Tensor, c: Tensor) -> Tensor:
        """(B, 2 F + 3 d): reconstructions x̂, the showers x themselves, codes z, and their means and log variances."""
        reconstruction, z, mean, log_variance = self.generator(x, c)
        return torch.cat([reconstruction, x, z, mean, log_variance], dim=1)

    def _parts(self, generated: Tensor) -> tuple[Tensor, ...]:
        return generated.split([self.features] * 2 + [self.code_dim] * 3, dim=1)

    def critic_losses(self, x: Tensor, generated: Tensor, c: Tensor) -> dict[str, Tensor]:
        """The Wasserstein losses of both critics, with penalties."""
        reconstruction, _, z, *_ = self._parts(generated)
        difference = self.critic(x, reconstruction, c) - self.critic(x, x, c)
        normal = torch.randn_like(z)
        latent = self.critic.of_code(z) - self.critic.of_code(normal)
        with torch.enable_grad():
            u = torch.rand(len(x), 1, device=x.device, dtype=x.dtype)
            pair = [x.detach().requires_grad_(True), torch.lerp(reconstruction, x, u).requires_grad_(True)]
            codes = torch.lerp(z, normal, torch.rand_like(u)).requires_grad_(True)
            slopes = torch.autograd.grad(self.critic(*pair, c).sum(), pair, create_graph=True)
            (latent_slope,) = torch.autograd.grad(self.critic.of_code(codes).sum(), codes, create_graph=True)
        loss = difference + self.penalty * (torch.cat(slopes, dim=1).norm(dim=1) - 1) ** 2
        latent_loss = latent + self.penalty * (latent_slope.norm(dim=1) - 1) ** 2
        return {"critic_loss": loss + latent_loss, "wasserstein": -difference, "latent_wasserstein": -latent}

    def generator_loss(self, generated: Tensor, c: Tensor) -> Tensor:
        reconstruction, x, z, mean, log_variance = self._parts(generated)
        divergence = 0.5 * (mean**2 + torch.exp(log_variance) - 1 - log_variance).sum(dim=1)
        return (
            self.beta * divergence
            + self.mmd_weight * latent_discrepancy(z, torch.randn_like(z))
            - self.latent_weight * self.critic.of_code(z)
            - self.critic(x, reconstruction, c)
        )

    # ---- the post-processor ----------------------------------------------------------------------------------

    def _pairs(self, x: Tensor, c: Tensor) -> Pair:
        """(B, 2 F): standardised showers and their reconstructions."""
        x = self.standardise(x)
        return torch.cat([x, self.generator(x, c)[0]], dim=1), c

    def _post_loss(self, pairs: Tensor, c: Tensor) -> Tensor:
        assert self.post_processor is not None
        x, reconstruction = pairs.chunk(2, dim=1)
        found = self.post_processor(reconstruction, c)
        loss = (found - reconstruction).square().mean(dim=1)
        return loss + self.post_weight * sorted_discrepancy(found, x, self.window, self.post_kernel)

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) the losses of the critics, for showers encoded anew, and of the post-processor."""
        loss = self.adversarial_loss(x, c)
        return loss if self.post_processor is None else loss + self._post_loss(*self._pairs(x, c))

    # ---- sampling --------------------------------------------------------------------------------------------

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, d + further noise) from N(0, 1), c (B, C) → (B, F)."""
        x = self.generator.decode(z, c)
        return self.standardise.inverse(x if self.post_processor is None else self.post_processor(x, c))


class NoisyAutoencoder(nn.Module):
    """Showers to codes with a mean and a variance, and codes with further noise to showers.

    Args:
        features: F. conditions: C. code_dim: d. noise_dim: further noise of the decoder.
        hidden: widths of the encoder's hidden layers; the decoder's are the same in reversed order.
    """

    def __init__(self, features: int, conditions: int, code_dim: int, noise_dim: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.noise_dim = noise_dim
        self.encoder = mlp([features + conditions, *hidden, 2 * code_dim], nn.LeakyReLU)
        self.decoder = mlp([code_dim + noise_dim + conditions, *hidden[::-1], features], nn.LeakyReLU)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x (B, F), c (B, C) → reconstruction (B, F); code, its mean and its log variance, (B, d) each."""
        mean, log_variance = self.encoder(torch.cat([x, c], dim=1)).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        noise = torch.randn(len(x), self.noise_dim, device=x.device, dtype=x.dtype)
        return self.decode(torch.cat([z, noise], dim=1), c), z, mean, log_variance

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, d + noise_dim), c (B, C) → (B, F)."""
        return self.decoder(torch.cat([z, c], dim=1))


class Critics(nn.Module):
    """The critic of showers and differences, and that of codes.

    Args:
        features: F. conditions: C. hidden: widths of the hidden layers.
    """

    def __init__(self, features: int, conditions: int, hidden: Sequence[int]) -> None:
        super().__init__()
        half = max(1, hidden[0] // 2)
        self.of_shower = nn.Linear(features, half)
        self.of_difference = nn.Linear(features, half)
        self.last = _scores([2 * half + conditions, *hidden])
        self.latent = _scores([1, 50, 100, 50])

    def forward(self, x: Tensor, other: Tensor, c: Tensor) -> Tensor:
        """x (B, F), other (B, F) that is x or its reconstruction, c (B, C) → (B,)."""
        seen = torch.cat([self.of_shower(other), self.of_difference(other - x)], dim=1)
        return self.last(torch.cat([functional.leaky_relu(seen), c], dim=1))[:, 0]

    def of_code(self, z: Tensor) -> Tensor:
        """z (B, d) → (B,), the mean over its numbers."""
        return self.latent(z[..., None]).mean(dim=(1, 2))


def _scores(widths: Sequence[int]) -> nn.Sequential:
    """An MLP to one number without a constant, since only differences of scores count."""
    return nn.Sequential(*mlp(widths, nn.LeakyReLU), nn.LeakyReLU(), nn.Linear(widths[-1], 1, bias=False))


class PostProcessor(nn.Module):
    """The same small network for each voxel, which also sees the mean over voxels and the conditions.

    Args:
        conditions: C. width: hidden units.
    """

    def __init__(self, conditions: int, width: int) -> None:
        super().__init__()
        self.of_shower = mlp([1 + conditions, width, width], nn.LeakyReLU)
        self.of_voxel = nn.Linear(1, width)
        self.last = mlp([width, width, 1], nn.LeakyReLU)
        for parameter in self.last[-1].parameters():  # the identity at the start
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x (B, F), c (B, C) → (B, F)."""
        shower = self.of_shower(torch.cat([x.mean(dim=1, keepdim=True), c], dim=1))
        h = functional.leaky_relu(self.of_voxel(x[..., None]) + shower[:, None])
        return x + self.last(h)[..., 0]


def latent_discrepancy(z: Tensor, normal: Tensor) -> Tensor:
    """(B,) terms, one for each row, whose mean is MMD² of codes z (B, d) and normal numbers (B, d).

    With kernels exp(−|a − b|²) + exp(−|a − b|²/100), averaged over all pairs, those of a row with itself included.
    """
    part = part_of(z)
    all_z, all_normal = part.whole(z), part.whole(normal)
    return _kernels(z, all_z) + _kernels(normal, all_normal) - _kernels(z, all_normal) - _kernels(normal, all_z)


def _kernels(a: Tensor, b: Tensor) -> Tensor:
    """(B,) the mean of the kernels of each row of a (B, d) with all rows of b."""
    squared = (a.square().sum(dim=1)[:, None] + b.square().sum(dim=1) - 2 * a @ b.T).clamp_min(0)
    return (torch.exp(-squared) + torch.exp(-0.01 * squared)).mean(dim=1)


def sorted_discrepancy(a: Tensor, b: Tensor, window: int, alpha: float) -> Tensor:
    """(B,) MMD² of the voxels of a (B, F) and b (B, F) in each window of sorted ones, averaged over windows.

    Args:
        a, b: showers. window: consecutive voxels; windows overlap by half. alpha: of the kernel exp(−α (a − b)²).
    """
    one, other = (x.sort(dim=1).values.unfold(1, window, max(1, window // 2)) for x in (a, b))

    def kernel(p: Tensor, q: Tensor) -> Tensor:
        return torch.exp(-alpha * (p[..., :, None] - q[..., None, :]).square()).mean(dim=(2, 3))

    return (kernel(one, one) + kernel(other, other) - 2 * kernel(one, other)).mean(dim=1)
