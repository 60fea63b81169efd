"""EPiC-GAN: the deep-sets GAN of point clouds (Buhmann, Kasieczka and Thaler, arXiv:2301.08128, 1703.06114).

The number of points n, and numbers s of the whole cloud, come first, from p(n, s | c). A generator turns noise of each
point and of the cloud into points, whatever their order, and a critic D judges the set (`caloforge.networks.
point_adversaries`). With least squares (LSGAN, arXiv:1611.04076), x̃ = G(z, c, n, s) and n, s those of the real cloud,

    critic       minimise  ½ (D(x) − 1)² + ½ D(x̃)²
    generator    minimise  ½ (D(x̃) − 1)².

Both are trained by turns (`caloforge.models.adversarial`). What is learned of whole numbers and of columns with a
narrow core: `caloforge.networks.point_scaling`. The paper's networks have weight normalisation, and leaky ReLU in place
of SiLU.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.geometry import PointGeometry
from caloforge.models.adversarial import AdversarialModel
from caloforge.models.dataset import ShowerDataset
from caloforge.models.numbers_of_points import NumbersOfPoints, given_of
from caloforge.models.stages import Stage
from caloforge.networks.point_adversaries import EPiCCritic, EPiCGenerator
from caloforge.networks.point_scaling import PointScaling
from caloforge.networks.standardise import Standardise
from caloforge.packed import Packed

POINTS_AT_ONCE = 10_000
"""Points that are sampled together, to bound the memory."""


class EPiCGAN(AdversarialModel):
    """A permutation-equivariant generator against a permutation-invariant critic.

    Args:
        features: 1 + K + M · F: a row of `caloforge.packed`. conditions: C.
        geometry: columns F of the points, and room M for them.
        numbers: of points: `table`, as often as in the training set, whatever the conditions, or a latent model of
            n and the K numbers of the whole cloud given c, `kind` and its settings.
        whole: columns that are whole numbers, dequantised in training.
        peaked: columns with a narrow core around 0, learned as asinh of their values.
        point_noise: numbers of noise for each point.
        cloud_noise: numbers of noise for each cloud.
        width: hidden channels of the points.
        global_width: of the global vector.
        generator_layers: number of the generator's EPiC layers. critic_layers: of the critic's.
        critic_steps: steps of the critic for one of the generator.
        critic_rate: learning rate of the critic over that of the generator.
        momentum: β₁ of Adam.

    Example:
        >>> model = EPiCGAN(13, 1, geometry=PointGeometry(("x", "y", "energy"), 4), width=8, generator_layers=1)
        >>> model.sample(torch.zeros(2, 1)).shape
        torch.Size([2, 13])
    """

    takes_clouds = True
    export_obstacle = "the number of its outputs differs from shower to shower"

    critic: EPiCCritic
    generator: EPiCGenerator

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        geometry: PointGeometry,
        numbers: Literal["table"] | dict[str, Any] = "table",
        whole: list[str] = [],  # noqa: B006 - read only, and shown in the schema
        peaked: list[str] = [],  # noqa: B006
        point_noise: PositiveInt = 3,
        cloud_noise: PositiveInt = 10,
        width: PositiveInt = 128,
        global_width: PositiveInt = 10,
        generator_layers: PositiveInt = 6,
        critic_layers: PositiveInt = 3,
        critic_steps: PositiveInt = 1,
        critic_rate: PositiveFloat = 1.0,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    ) -> None:
        super().__init__()
        self.columns, self.most = len(geometry.columns), geometry.most
        if (others := features - geometry.row_length) < 0:
            raise CaloforgeError(f"{features} features are not a row of {geometry.most} {geometry.name}")
        self.point_noise, self.cloud_noise = point_noise, cloud_noise
        self.critic_steps, self.critic_rate, self.momentum = critic_steps, critic_rate, momentum
        self.numbers = NumbersOfPoints(numbers, others, conditions, geometry.most)
        self.latent_dim = self.numbers.latent_dim + cloud_noise + self.most * point_noise
        given = conditions + 1 + others
        self.critic = EPiCCritic(self.columns, given, width, global_width, critic_layers)
        self.generator = EPiCGenerator(
            self.columns, given, point_noise, cloud_noise, width, global_width, generator_layers
        )
        self.of_points = PointScaling(geometry, whole, peaked)
        self.of_given = Standardise(given, "each")

    # ---- training ----------------------------------------------------------------------------------------------

    def stages(self) -> list[Stage]:
        """Those of the numbers, and `model`: critic and generator in turn."""
        return [*self.numbers.stages(), *super().stages()]

    def absent_stages(self) -> frozenset[str]:
        return self.numbers.absent_stages()

    def fit(self, data: ShowerDataset) -> None:
        self.numbers.fit(data)
        x, c = data.sample()
        clouds = self._clouds(x)
        self.of_points.fit(clouds.points)
        self.of_given.fit(given_of(clouds, c))

    def seen(self, x: Tensor) -> Tensor:
        clouds = self._clouds(x)
        return clouds.with_points(self.of_points(self.of_points.dequantised(clouds))).rows(self.most)

    def generated(self, x: Tensor, c: Tensor) -> Tensor:
        """(B, features) as many points as the clouds x (B, features) have, standardised."""
        size = self.cloud_noise + self.most * self.point_noise
        z = torch.randn(len(x), size, device=x.device, dtype=x.dtype)
        return self._generated(self._clouds(x), z, c).rows(self.most)

    def critic_losses(self, x: Tensor, generated: Tensor, c: Tensor) -> dict[str, Tensor]:
        real, fake = self._judged(x, c), self._judged(generated, c)
        right = 0.5 * ((real > 0.5).to(x) + (fake < 0.5).to(x))
        return {"critic_loss": 0.5 * ((real - 1).square() + fake.square()), "critic_accuracy": right}

    def generator_loss(self, generated: Tensor, c: Tensor) -> Tensor:
        return 0.5 * (self._judged(generated, c) - 1).square()

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) the critic's loss, and that of the numbers."""
        return super().loss(x, c) + self.numbers.loss(x, c)

    def _judged(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) D for rows of standardised clouds."""
        clouds = self._clouds(x)
        return self.critic(clouds, self.of_given(given_of(clouds, c)))

    def _clouds(self, x: Tensor) -> Packed:
        return Packed.of_rows(x, self.columns, self.most)

    # ---- sampling ----------------------------------------------------------------------------------------------

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, D) from N(0, 1), c (B, C) → rows (B, features)."""
        n = self.numbers.latent_dim
        counts, others = self.numbers.decode(z[:, :n], c)
        empty = Packed.of(c.new_zeros(int(counts.sum()), self.columns), counts, others)
        points = [
            self.of_points.inverse(self._generated(part, z[rows, n:], c[rows]).points)
            for rows, part in empty.parts(POINTS_AT_ONCE)
        ]
        return empty.with_points(torch.cat([empty.points[:0], *points])).rows(self.most)

    def _generated(self, clouds: Packed, z: Tensor, c: Tensor) -> Packed:
        """Standardised points in place of those of `clouds`, from noise z (B, cloud_noise + M · point_noise)."""
        of_cloud, of_points = z[:, : self.cloud_noise], z[:, self.cloud_noise :]
        row = torch.cat([clouds.counts.to(z)[:, None], of_points], dim=1)
        noise = Packed.of_rows(row, self.point_noise, self.most)
        return clouds.with_points(self.generator(noise, of_cloud, self.of_given(given_of(clouds, c))))
