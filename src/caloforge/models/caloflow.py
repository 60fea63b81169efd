"""CaloFlow: two autoregressive flows, and a student that samples in one pass (Krause and Shih, arXiv:2106.05285 and
arXiv:2110.11377).

Flow I learns the layer energies, p(E_0 … E_{L−1} | E_inc), as fractions in logit space; flow II the voxels' shares of
their layers, p(s | E_0 …, E_inc), in logit space too. Zeros would be points of infinite density, so noise far below the
readout threshold is added to the voxels, anew whenever a batch is drawn. Both flows are masked autoregressive: their
density is one pass, sampling a loop over the features.

The student is an inverse autoregressive flow with the same blocks and permutations, fast to sample. It learns from the
frozen flow II alone, by two losses: the z-loss maps noise z to x by the student and back to z' by the teacher, and
compares z' to z; the x-loss maps showers x to z by the teacher and back to x' by the student, and compares x' to x.
Both also compare what lies between the blocks, and the splines' parameters.

A sample is flow I, then the student or flow II, then each layer's shares times its energy: layer energies are exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from caloforge.division.shares import LayerSums, energies_to_fractions, fractions_to_energies
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.models.base import LatentModel
from caloforge.models.dataset import Pair, ShowerDataset
from caloforge.models.stages import Losses, Stage, TrainingBatch
from caloforge.networks.distillation import frozen_weights, x_loss, z_loss
from caloforge.networks.flows import ConditionalSplines, ConditionalStandardise, Flow, FlowStep, Permutation
from caloforge.networks.made import AutoregressiveSpline
from caloforge.sharing import Part, part_of, sharing
from caloforge.transforms.logit import inverse_logit, logit_with_slope
from caloforge.transforms.readout_threshold import zero_below


class CaloFlow(LatentModel):
    """Layer energies, then shapes, then (if wished) a student of the shapes.

    Features are the voxels in MeV, the first condition is the incident energy in MeV: use no transform but a threshold.
    Both flows get further conditions as they are.

    Args:
        features: V, the geometry's number of voxels.
        conditions: 1, the incident energy, and the number of further ones.
        geometry: supplies the layers.
        energy_scale: f in u_0 = E_dep / (f E_inc); `auto` takes the training set's largest E_dep / E_inc. The paper's
            1 suits showers whose deposited energy cannot exceed the incident one.
        noise: in MeV; the noise is uniform between 0 and this. 0 switches it off (the paper's Fig. 4).
        empty_below: in MeV. 0: noise on every voxel, as published. Above: voxels below it count as empty, only they
            get noise, flow I sees noise where a layer is empty, and a sampled layer's energy goes to those voxels that
            get at least so much. For showers whose readout threshold is well above 1 keV.
        alpha: α of the logit.
        standardise: begin both flows with a fixed linear regression on the conditions and a scaling to width 1. Not as
            published; trains much faster.
        marginals: then bend each logit of a share by a spline that depends on the conditions only, in flow II. Not as
            published. The student shares these splines with the teacher, and what is left for it to learn is tame.
        bins: of a spline.
        bound: splines bend [-bound, bound].
        energy_blocks: of flow I; between its blocks stand reversals and random permutations in turn.
        energy_width: hidden units of a block.
        energy_hidden_layers: maps from hidden units to hidden units in a block.
        shape_blocks: of flow II and of the student; the same stands between them, within each layer.
        shape_width: hidden units of a block.
        shape_hidden_layers: maps from hidden units to hidden units in a block.
        dropout: in flow II.
        student: whether there is a third stage.
        sampler: which flow makes the shapes; `auto` is the student where there is one.

    Example:
        >>> from caloforge.geometry import load_geometry
        >>> model = CaloFlow(504, 1, geometry=load_geometry("calogan"), shape_blocks=2, shape_width=16)
        >>> model.sample(torch.full((2, 1), 20_000.0)).shape
        torch.Size([2, 504])
    """

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        geometry: Geometry,
        energy_scale: float | Literal["auto"] = 1.0,
        noise: float = 1e-3,
        empty_below: float = 0.0,
        alpha: float = 1e-6,
        standardise: bool = False,
        marginals: bool = False,
        bins: int = 8,
        bound: float = 14.0,
        energy_blocks: int = 6,
        energy_width: int = 64,
        energy_hidden_layers: int = 2,
        shape_blocks: int = 8,
        shape_width: int = 378,
        shape_hidden_layers: int = 1,
        dropout: float = 0.05,
        student: bool = False,
        sampler: Literal["auto", "teacher", "student"] = "auto",
    ) -> None:
        super().__init__()
        if isinstance(energy_scale, str):
            raise CaloforgeError("energy_scale 'auto' needs the training set: train from a recipe, or give a number")
        if features != geometry.n_voxels or conditions < 1:
            raise CaloforgeError(
                f"caloflow takes the {geometry.n_voxels} voxels and the incident energy in MeV, not {features} "
                f"features and {conditions} conditions; leave only readout_threshold in the recipe's transforms"
            )
        if sampler == "student" and not student:
            raise CaloforgeError("sampler 'student' needs a student; set model.student to true")
        if noise < 0 or empty_below < 0 or energy_scale <= 0:
            raise CaloforgeError("caloflow's noise and empty_below must not be negative, its energy_scale not zero")
        if empty_below > 0 and not noise < empty_below:
            raise CaloforgeError(f"noise ({noise:g} MeV) must stay below empty_below ({empty_below:g} MeV)")
        self.energy_scale, self.noise, self.empty_below, self.alpha = energy_scale, noise, empty_below, alpha
        self.by_student = student and sampler != "teacher"
        self.layers = LayerSums(torch.as_tensor(geometry.layer_index))
        self.n_layers, self.n_voxels = geometry.n_layers, geometry.n_voxels
        self.latent_dim = self.n_layers + self.n_voxels
        if not self.by_student:
            self.export_obstacle = "flow II samples voxel by voxel in a loop; train a student and export that"
        spline: dict[str, Any] = {"bins": bins, "bound": bound}
        energy: dict[str, Any] = {"width": energy_width, "hidden_layers": energy_hidden_layers}
        shape: dict[str, Any] = {"width": shape_width, "hidden_layers": shape_hidden_layers, "dropout": dropout}
        given = conditions + self.n_layers
        self.energies = _flow(
            [AutoregressiveSpline(self.n_layers, conditions, **spline, **energy) for _ in range(energy_blocks)],
            _orders(torch.zeros(self.n_layers, dtype=torch.long), energy_blocks - 1),
            [ConditionalStandardise(self.n_layers, conditions)] if standardise else [],
        )
        outer: list[FlowStep] = [ConditionalStandardise(features, given)] if standardise else []
        if marginals:
            outer.append(ConditionalSplines(features, given, bins, bound, shape_width))
        self.outer = Flow(outer)
        orders = _orders(self.layers.layer_index, shape_blocks - 1)

        def blocks(side: Literal["data", "noise"]) -> Flow:
            steps = [AutoregressiveSpline(features, given, **spline, **shape, given=side) for _ in range(shape_blocks)]
            return _flow(steps, orders)

        self.shapes = blocks("data")
        self.student = blocks("noise") if student else None

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
        """`layer_energies`, `shapes` and, where there is one, `student`."""
        stages = [
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
        if self.student is not None:
            stages.append(_Student("student", self._student_loss, self.student.parameters(), fit=self._fit_student))
        return stages

    def sampling_settings(self) -> frozenset[str]:
        """`sampler`, where there is a student beside the teacher."""
        return frozenset({"sampler"} if self.student is not None else ())

    def training_only(self) -> frozenset[str]:
        """Of teacher and student, the one that does not sample."""
        if self.student is None:
            return frozenset()
        return frozenset({"shapes"} if self.by_student else {"student"})

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

    def _fit_student(self, data: ShowerDataset) -> None:
        """The student starts from the teacher's weights."""
        assert self.student is not None
        self.student.load_state_dict(self.shapes.state_dict())

    def _student_loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) x-loss on the first half of the batch, z-loss on the second: their expected sum, up to a factor."""
        assert self.student is not None
        y, given = self._shape_features(x, c)
        of_data, of_noise = _of_data_and_noise(x)
        half = len(of_data)
        with torch.no_grad():
            y, _ = self.outer(y, given)
        with sharing(of_noise):
            z = torch.randn_like(y[half:])
        with frozen_weights(self.shapes):
            with sharing(of_data):
                of_x = x_loss(self.shapes, self.student, y[:half], given[:half])
            with sharing(of_noise):
                of_z = z_loss(self.shapes, self.student, z, given[half:])
        return torch.cat([of_x, of_z])

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) all objectives together."""
        total = self._energy_loss(*self._layer_energies(x, c)) + self._shape_loss(x, c)
        return total if self.student is None else total + self._student_loss(x, c)

    # ---- sampling --------------------------------------------------------------------------------------------

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, L + V) from N(0, 1), c (B, C), E_inc in MeV first → voxels (B, V) in MeV."""
        y, _ = self.energies.inverse(z[:, : self.n_layers], self._given(c))
        energies, _ = fractions_to_energies(inverse_logit(y, self.alpha).clamp(0, 1), self.energy_scale * c[:, :1])
        energies = self._emptied(energies)
        y = self._logits(z[:, self.n_layers :], self._shape_conditions(energies, c), self.by_student)
        return self.layers.share_out(inverse_logit(y, self.alpha).clamp(0, 1), energies, self.empty_below)

    def _logits(self, noise: Tensor, given: Tensor, by_student: bool) -> Tensor:
        flow = self.student if by_student and self.student is not None else self.shapes
        y, _ = flow.inverse(noise, given)
        return self.outer.inverse(y, given)[0]

    # ---- density ---------------------------------------------------------------------------------------------

    def log_prob(self, x: Tensor, c: Tensor, draws: int = 64, seed: int = 0) -> Tensor:
        """(B,) log of flow I's and flow II's density of showers x (B, V), per MeV^V.

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
        sampled = inverse_logit(self._logits(normal(len(pilot), self.n_voxels), pilot, False), self.alpha).clamp(0, 1)
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


class _Student(Stage):
    """The student's stage, which logs both of its losses."""

    def step(self, batch: TrainingBatch, optimizers: Sequence[torch.optim.Optimizer]) -> Losses:
        losses = self.loss(batch.x, batch.c)
        found = {"loss": self.descend(losses, len(batch.x), optimizers[0])}
        parts = [len(part) for part in _of_data_and_noise(batch.x)]
        for name, part in zip(("x_loss", "z_loss"), losses.detach().split(parts), strict=True):
            if len(part):
                found[name] = part.mean()
        return found


def _of_data_and_noise(x: Tensor) -> tuple[Part, Part]:
    """Which rows x (B, …) of a batch get the x-loss, its first half, and which the z-loss."""
    part = part_of(x)
    return part.split((part.total + 1) // 2)


def _orders(groups: Tensor, n: int) -> list[Tensor]:
    """n orders, reversed and random in turn, that leave each group of neighbours (the same number) in its place."""
    indices = torch.arange(len(groups))
    parts = [indices[groups == g] for g in groups.unique()]
    orders = []
    for k in range(n):
        orders.append(torch.cat([p.flip(0) if k % 2 == 0 else p[torch.randperm(len(p))] for p in parts]))
    return orders


def _flow(blocks: Sequence[FlowStep], orders: Sequence[Tensor], first: Sequence[FlowStep] = ()) -> Flow:
    steps = list(first)
    for k, block in enumerate(blocks):
        steps += [Permutation(len(orders[k - 1]), orders[k - 1].clone()), block] if k else [block]
    return Flow(steps)
