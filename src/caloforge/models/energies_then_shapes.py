"""A flow for the layer energies, and one for the voxels' shares of their layers: what CaloFlow and L2LFlows share.

The first learns p(E_0 … E_{L−1} | E_inc), as fractions in logit space; the second the voxels' shares of their layers,
p(s | E_0 …, E_inc), in logit space too. Zeros would be points of infinite density, so noise far below the readout
threshold is added to the voxels, anew whenever a batch is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caloforge.division.shares import LayerSums, energies_to_fractions, fractions_to_energies
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.models.base import LatentModel
from caloforge.models.dataset import Pair, ShowerDataset
from caloforge.models.stages import Stage
from caloforge.networks.flows import ConditionalSplines, ConditionalStandardise, Flow, FlowStep, Permutation
from caloforge.networks.made import AutoregressiveSpline
from caloforge.transforms.logit import inverse_logit, logit_with_slope
from caloforge.transforms.readout_threshold import zero_below


class EnergiesThenShapes(LatentModel):
    """Layer energies, then shapes: two flows in two stages. A subclass sets `shapes` in its constructor.

    Features are the voxels in MeV, the first condition is the incident energy in MeV. Both flows get further conditions
    as they are.

    Args:
        features: V, the geometry's number of voxels.
        conditions: C, the incident energy and further ones.
        geometry: supplies the layers.
        energy_scale: f in u_0 = E_dep / (f E_inc).
        noise, empty_below: in MeV; see `CaloFlow`.
        alpha: of the logit.
        standardise, marginals: steps before the flows; see `CaloFlow`.
        bins, bound: of all splines.
        energy_blocks, energy_width, energy_hidden_layers: of the flow of layer energies.
        marginals_width: hidden units of the network of `marginals`.
    """

    shapes: Flow
    """Of logits of shares (B, V), given (B, C + L) what `_shape_conditions` returns."""

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        geometry: Geometry,
        energy_scale: float | str,
        noise: float,
        empty_below: float,
        alpha: float,
        standardise: bool,
        marginals: bool,
        bins: int,
        bound: float,
        energy_blocks: int,
        energy_width: int,
        energy_hidden_layers: int,
        marginals_width: int,
    ) -> None:
        super().__init__()
        name = type(self).__name__.lower()
        if isinstance(energy_scale, str):
            raise CaloforgeError("energy_scale 'auto' needs the training set: train from a recipe, or give a number")
        if features != geometry.n_voxels or conditions < 1:
            raise CaloforgeError(
                f"{name} takes the {geometry.n_voxels} voxels and the incident energy in MeV, not {features} "
                f"features and {conditions} conditions; leave only readout_threshold in the recipe's transforms"
            )
        if noise < 0 or empty_below < 0 or energy_scale <= 0:
            raise CaloforgeError(f"{name}'s noise and empty_below must not be negative, its energy_scale not zero")
        if empty_below > 0 and not noise < empty_below:
            raise CaloforgeError(f"noise ({noise:g} MeV) must stay below empty_below ({empty_below:g} MeV)")
        self.energy_scale, self.noise, self.empty_below, self.alpha = energy_scale, noise, empty_below, alpha
        self.layers = LayerSums(torch.as_tensor(geometry.layer_index))
        self.n_layers, self.n_voxels = geometry.n_layers, geometry.n_voxels
        self.latent_dim = self.n_layers + self.n_voxels
        energy: dict[str, Any] = {"width": energy_width, "hidden_layers": energy_hidden_layers}
        given = conditions + self.n_layers
        self.energies = chained(
            [
                AutoregressiveSpline(self.n_layers, conditions, bins=bins, bound=bound, **energy)
                for _ in range(energy_blocks)
            ],
            alternating_orders(torch.zeros(self.n_layers, dtype=torch.long), energy_blocks - 1),
            [ConditionalStandardise(self.n_layers, conditions)] if standardise else [],
        )
        outer: list[FlowStep] = [ConditionalStandardise(features, given)] if standardise else []
        if marginals:
            outer.append(ConditionalSplines(features, given, bins, bound, marginals_width))
        self.outer = Flow(outer)

    @property
    def sampling_flow(self) -> Flow:
        """The flow that makes the shapes of samples."""
        return self.shapes

    @classmethod
    def settings_from_data(cls, settings: dict[str, Any], data: ShowerDataset, geometry: Geometry) -> dict[str, Any]:
        """Replace `energy_scale: auto` by the largest E_dep / E_inc."""
        if settings["energy_scale"] != "auto":
            return settings
        largest = max(float((x.sum(dim=1, dtype=torch.float64) / c[:, 0]).max()) for x, c in data.pieces())
        if not largest > 0:
            raise CaloforgeError("no training shower deposits any energy")
        return {**settings, "energy_scale": largest}

    # ---- from showers to what the flows see ------------------------------------------------------------------

    def _noise(self, like: Tensor) -> Tensor:
        return self.noise * torch.rand_like(like)

    def _emptied(self, x: Tensor) -> Tensor:
        """Voxels without those that count as empty."""
        return zero_below(x, self.empty_below)

    def _noisy(self, x: Tensor) -> Tensor:
        """(B, V) emptied voxels, or (B, L) energies, with their noise."""
        if self.empty_below > 0:
            return torch.where(x == 0, self._noise(x), x)
        return x + self._noise(x) if self.noise > 0 else x

    def _given(self, c: Tensor) -> Tensor:
        """(B, C): log10(E_inc / 10 GeV) and further conditions."""
        energy = torch.log10(c[:, :1] / 1e4)
        return energy if c.shape[1] == 1 else torch.cat([energy, c[:, 1:]], dim=1)

    def _shape_conditions(self, energies: Tensor, c: Tensor) -> Tensor:
        """(B, C + L): what `_given` gives, and log10((E_l + noise) / 100 GeV) + 2 of the energies before noise."""
        offset = self.noise if self.noise > 0 else 1e-3
        return torch.cat([self._given(c), torch.log10((energies + offset) / 1e5) + 2], dim=1)

    def _energy_features(self, energies: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L) energies in MeV → logits of the fractions, and the sum of log |dy/du|."""
        y, log_slope = logit_with_slope(energies_to_fractions(energies, self.energy_scale * c[:, :1]), self.alpha)
        return y, log_slope.sum(dim=1)

    def _shape_features(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """(B, V) voxels → logits of the noisy shares (B, V), and flow II's conditions."""
        emptied = self._emptied(x)
        y, _ = logit_with_slope(self.layers.shares(self._noisy(emptied)), self.alpha)
        return y, self._shape_conditions(self.layers.sums(emptied), c)

    # ---- training --------------------------------------------------------------------------------------------

    def stages(self) -> Sequence[Stage]:
        """`layer_energies` and `shapes`."""
        return [
            Stage(
                "layer_energies",
                self._energy_loss,
                self.energies.parameters(),
                fit=self._fit_energies,
                prepare=lambda data: data.map(self._layer_energies),
            ),
            Stage(
                "shapes",
                self._shape_loss,
                [*self.outer.parameters(), *self.shapes.parameters()],
                fit=self._fit_shapes,
            ),
        ]

    def _layer_energies(self, x: Tensor, c: Tensor) -> Pair:
        """(B, L) the layers' energies in MeV, and the conditions."""
        return self.layers.sums(self._emptied(x)), c

    def _energy_view(self, energies: Tensor, c: Tensor) -> Pair:
        if self.empty_below > 0:
            energies = self._noisy(energies)
        return self._energy_features(energies, c)[0], self._given(c)

    def _energy_loss(self, energies: Tensor, c: Tensor) -> Tensor:
        return -self.energies.log_prob(*self._energy_view(energies, c))

    def _fit_energies(self, data: ShowerDataset) -> None:
        if isinstance(first := self.energies.steps[0], ConditionalStandardise):
            first.fit(*self._energy_view(*data.map(self._layer_energies).sample()))

    def _shape_loss(self, x: Tensor, c: Tensor) -> Tensor:
        return -self._log_prob_of_logits(*self._shape_features(x, c))

    def _log_prob_of_logits(self, y: Tensor, given: Tensor) -> Tensor:
        y, log_det = self.outer(y, given)
        return self.shapes.log_prob(y, given) + log_det

    def _fit_shapes(self, data: ShowerDataset) -> None:
        for step in self.outer.steps:
            if isinstance(step, ConditionalStandardise):
                step.fit(*self._shape_features(*data.sample()))

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) both objectives together."""
        return self._energy_loss(*self._layer_energies(x, c)) + self._shape_loss(x, c)

    # ---- sampling --------------------------------------------------------------------------------------------

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, L + V) from N(0, 1), c (B, C), E_inc in MeV first → voxels (B, V) in MeV."""
        y, _ = self.energies.inverse(z[:, : self.n_layers], self._given(c))
        energies, _ = fractions_to_energies(inverse_logit(y, self.alpha).clamp(0, 1), self.energy_scale * c[:, :1])
        energies = self._emptied(energies)
        y = self._logits(self.sampling_flow, z[:, self.n_layers :], self._shape_conditions(energies, c))
        return self.layers.share_out(inverse_logit(y, self.alpha).clamp(0, 1), energies, self.empty_below)

    def _logits(self, flow: Flow, noise: Tensor, given: Tensor) -> Tensor:
        y, _ = flow.inverse(noise, given)
        return self.outer.inverse(y, given)[0]

    # ---- density ---------------------------------------------------------------------------------------------

    def log_prob(self, x: Tensor, c: Tensor, draws: int = 64, seed: int = 0) -> Tensor:
        """(B,) log of the flows' density of showers x (B, V), per MeV^V.

        It is that of the noisy showers that the flows describe, before anything is cut; a layer without energy has
        none (-inf). Flow II has V numbers for shares that sum to 1 in each layer: sampling divides the sums S_l out,
        so the density is an integral over them, ∫ p(S s | E) Π S_l^{V_l − 1} dS, estimated by importance sampling
        (without bias before the logarithm).

        Args:
            x: voxels in MeV. c: (B, C) conditions, the incident energies in MeV first.
            draws: of S, for each shower.
            seed: of the draws.
        """
        energies = self.layers.sums(x)
        scale = self.energy_scale * c[:, :1]
        y, log_slope = self._energy_features(energies, c)
        _, log_volume = fractions_to_energies(energies_to_fractions(energies, scale), scale)
        log_energies = self.energies.log_prob(y, self._given(c)) + log_slope - log_volume
        sizes = torch.tensor(self.layers.sizes, device=x.device, dtype=x.dtype)
        tiny = torch.finfo(x.dtype).tiny
        log_shares = self._log_prob_of_shares(
            self.layers.shares(x), self._shape_conditions(self._emptied(energies), c), sizes, draws, seed
        )
        total = log_energies + log_shares - torch.log(energies.clamp_min(tiny)) @ (sizes - 1)
        possible = (energies > 0).all(dim=1) & (energies.sum(dim=1) <= scale[:, 0])
        return torch.where(possible, total, -torch.inf)

    def _log_prob_of_shares(self, shares: Tensor, given: Tensor, sizes: Tensor, draws: int, seed: int) -> Tensor:
        generator = torch.Generator(given.device).manual_seed(seed)

        def normal(rows: int, columns: int) -> Tensor:
            return torch.randn(rows, columns, generator=generator, device=given.device, dtype=given.dtype)

        # Where the flow itself puts log S; the proposal is wider, for the sake of its tails.
        pilot = given[torch.arange(max(64, len(given)), device=given.device) % len(given)]
        sampled = inverse_logit(self._logits(self.shapes, normal(len(pilot), self.n_voxels), pilot), self.alpha).clamp(
            0, 1
        )
        log_sums = torch.log(self.layers.sums(sampled).clamp_min(1e-12))
        mean, width = log_sums.mean(dim=0), 2.5 * log_sums.std(dim=0) + 1e-3
        terms = []
        for _ in range(draws):
            unit = normal(len(shares), self.n_layers)
            log_s = mean + width * unit
            log_proposal = (-0.5 * unit**2 - torch.log(width) - 0.5 * math.log(2 * math.pi)).sum(dim=1)
            scaled = shares * self.layers.spread(log_s.exp())
            y, log_slope = logit_with_slope(scaled, self.alpha)
            log_p = self._log_prob_of_logits(y, given) + log_slope.sum(dim=1) + log_s @ sizes - log_proposal
            terms.append(torch.where((scaled <= 1).all(dim=1), log_p, -torch.inf))
        return torch.logsumexp(torch.stack(terms), dim=0) - math.log(draws)


def alternating_orders(groups: Tensor, n: int) -> list[Tensor]:
    """n orders, reversed and random in turn, that leave each group of neighbours (the same number) in its place."""
    indices = torch.arange(len(groups))
    parts = [indices[groups == g] for g in groups.unique()]
    orders = []
    for k in range(n):
        orders.append(torch.cat([p.flip(0) if k % 2 == 0 else p[torch.randperm(len(p))] for p in parts]))
    return orders


def chained(blocks: Sequence[FlowStep], orders: Sequence[Tensor], first: Sequence[FlowStep] = ()) -> Flow:
    """A flow of `first`, then blocks with permutations between them."""
    steps = list(first)
    for k, block in enumerate(blocks):
        steps += [Permutation(len(orders[k - 1]), orders[k - 1].clone()), block] if k else [block]
    return Flow(steps)
