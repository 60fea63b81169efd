"""Adversarial training: a critic and a generator in turn, in one stage with two optimisers.

A model has a `critic` and a `generator`, and says what each minimises. In every step the critic takes one, on real and
generated showers; every `critic_steps` steps the generator takes one too. Where both take a step, both gradients are
those at the weights before it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from caloforge.models.base import LatentModel
from caloforge.models.dataset import ShowerDataset
from caloforge.models.stages import Losses, Stage, StageSettings, TrainingBatch, make_optimizer
from caloforge.networks.standardise import Standardise


class AdversarialModel(LatentModel):
    """A generator that learns from a critic.

    A subclass sets the attributes below in its constructor, and overrides `critic_losses`, `generator_loss` and
    `decode`.
    """

    critic: nn.Module
    """(showers (B, F), conditions (B, C)) → (B,), unless a subclass has its own `critic_losses` and `generated`."""

    generator: nn.Module
    """(noise (B, D), conditions (B, C)) → showers (B, F)."""

    standardise: Standardise
    """What the critic sees of showers: standardised features."""

    critic_steps: int = 1
    """Steps of the critic for one of the generator."""

    critic_rate: float = 1.0
    """Learning rate of the critic over that of the generator."""

    momentum: float = 0.9
    """β₁ of Adam, for both."""

    def training_only(self) -> frozenset[str]:
        """The critic."""
        return frozenset({"critic"})

    @abstractmethod
    def critic_losses(self, x: Tensor, generated: Tensor, c: Tensor) -> dict[str, Tensor]:
        """What the critic minimises, `critic_loss` (B,), and other numbers (B,) to be logged.

        Args:
            x: (B, F) showers, standardised. generated: (B, F). c: (B, C) conditions of both.
        """

    @abstractmethod
    def generator_loss(self, generated: Tensor, c: Tensor) -> Tensor:
        """(B,) what the generator minimises."""

    def noise(self, like: Tensor) -> Tensor:
        """(B, D) the generator's noise in training, for as many showers as `like` has."""
        return torch.randn(len(like), self.latent_dim, device=like.device, dtype=like.dtype)

    def fit(self, data: ShowerDataset) -> None:
        """Take constants from the training set."""
        self.standardise.fit(data.sample()[0])

    def seen(self, x: Tensor) -> Tensor:
        """(B, F) what the critic sees of showers x (B, F)."""
        return self.standardise(x)

    def generated(self, x: Tensor, c: Tensor) -> Tensor:
        """(B, F) new showers as the critic sees them, for conditions c (B, C); x (B, F) are real ones, as seen."""
        return self.generator(self.noise(x), c)

    def stages(self) -> list[Stage]:
        """One, `model`: critic and generator in turn."""
        return [AdversarialStage(self)]

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) the critic's loss, for showers generated anew."""
        return self.adversarial_loss(x, c)

    def adversarial_loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) `loss` without those of other stages."""
        x = self.seen(x)
        with torch.no_grad():
            generated = self.generated(x, c)
        return self.critic_losses(x, generated, c)["critic_loss"]


class AdversarialStage(Stage):
    """Critic and generator in turn.

    It logs the critic's numbers and, where the generator took a step, `generator_loss`; their total is the sum of the
    two losses.
    """

    def __init__(self, model: AdversarialModel) -> None:
        halves = (model.critic, model.generator)
        super().__init__("model", model.adversarial_loss, (p for half in halves for p in half.parameters()))
        self.model = model

    def fit(self, data: ShowerDataset) -> None:
        self.model.fit(data)

    def optimizers(self, settings: StageSettings) -> list[torch.optim.Optimizer]:
        """The critic's and the generator's."""
        model = self.model
        both = [make_optimizer(half.parameters(), settings) for half in (model.critic, model.generator)]
        for optimizer, factor in zip(both, (model.critic_rate, 1.0), strict=True):
            for group in optimizer.param_groups:
                group["lr"] *= factor
                if "betas" in group:
                    group["betas"] = (model.momentum, group["betas"][1])
        return both

    def step(self, batch: TrainingBatch, optimizers: Sequence[torch.optim.Optimizer]) -> Losses:
        model, (of_critic, of_generator) = self.model, optimizers
        generators_turn = batch.number % model.critic_steps == 0
        x = model.seen(batch.x)
        with torch.set_grad_enabled(generators_turn):
            generated = model.generated(x, batch.c)
        found = model.critic_losses(x, generated.detach(), batch.c)
        losses = {name: values.mean() for name, values in found.items()}
        of_critic.zero_grad(set_to_none=True)
        losses["critic_loss"].backward()
        total = losses["critic_loss"].detach()
        if generators_turn:
            losses["generator_loss"] = model.generator_loss(generated, batch.c).mean()
            of_generator.zero_grad(set_to_none=True)
            losses["generator_loss"].backward(inputs=list(model.generator.parameters()))
            total = total + losses["generator_loss"].detach()
            of_generator.step()
        of_critic.step()
        return {"loss": total, **{name: loss.detach() for name, loss in losses.items()}}
