"""Conditional flow matching, and its distillation to a few evaluations of a network.

A network learns the velocity that carries noise to data (`caloforge.diffusion.transport`; arXiv:2210.02747),

    loss = E ‖v(x_t, t, c) − (σ̇_t ε + α̇_t x)‖²,    x_t = σ_t ε + α_t x,

and a sample is the solution of dx/dt = v from noise at t = 0 to t = 1.

A student learns to take the same way in n strides (arXiv:2202.00512; the pairs of noise and its image are those of
rectified flow, arXiv:2209.03003). It starts from the teacher's weights. The teacher is frozen and its solution from
noise x_0, with its states x_{k/n} on the way, is computed once for a set of noises; the student s learns

    x_{(k+1)/n} = x_{k/n} + s(x_{k/n}, k/n, c) / n

by regression. The map is the same for every shower, so nothing is averaged over: what is lost is what the network
cannot express. Another kind of student is a consistency function (`caloforge.diffusion.consistency`), for which no
trajectories are computed beforehand: each step of it evaluates the teacher.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from caloforge.diffusion.consistency import consistency_loss, sample_by_consistency
from caloforge.diffusion.solvers import SOLVERS, Field, solve, trajectory
from caloforge.diffusion.transport import between, optimally_paired, solve_with_divergence
from caloforge.errors import CaloforgeError
from caloforge.models.base import LatentModel
from caloforge.models.dataset import Pair, ShowerDataset
from caloforge.models.stages import Stage
from caloforge.models.teacher_and_student import TeacherAndStudent
from caloforge.networks.velocities import LayerVelocity, ResidualVelocity, SectorVelocity
from caloforge.sharing import part_of


class FlowMatching(TeacherAndStudent, LatentModel):
    """Noise carried to data by a learned velocity, in a few steps of a solver or a few strides of a student.

    Features are scaled to mean 0 and width 1 by constants of the training set.

    Args:
        features: F. conditions: C.
        network: `residual`, a plain residual network; `sectors`, alike in each sector of the circle; or `layers`, alike
            in each layer of the calorimeter, for levels of a cascade.
        sectors: equal sectors in which the features come, for a network of sectors.
        sector_conditions: K, so that the last `sectors` · K conditions come sector by sector too.
        layer_of_feature: layer that each feature belongs to, for a network of layers.
        layer_of_condition: the same of each condition, -1 or -2 for those of the whole shower (`LayerVelocity`).
        width: hidden channels.
        hidden: channels inside the blocks of a network of sectors or layers; 0 is twice the width.
        blocks: number of blocks.
        path: `trigonometric` or `linear` (`caloforge.diffusion.transport`).
        pairing: of noise and data: `independent`, or `optimal` transport within the batch.
        condition_weight: in the cost of optimal transport.
        solver: `euler`, `midpoint`, `heun` or `rk4`.
        steps: of the solver.
        student_strides: n, evaluations of the student; 0 for no student.
        student_pairs: noises per training shower that a student of strides learns from.
        student_kind: `strides` along the teacher's trajectories, or `consistency`, a consistency function distilled
            from the teacher.
        student_times: N, steps of the grid on which a consistency function is learned.
        sampler: `teacher`, `student`, or `auto`, the student where there is one.

    Example:
        >>> model = FlowMatching(20, 1, network="sectors", sectors=10, width=16, blocks=2)
        >>> model.sample(torch.zeros(3, 1)).shape
        torch.Size([3, 20])
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        network: Literal["residual", "sectors", "layers"] = "residual",
        sectors: int = 1,
        sector_conditions: int = 0,
        layer_of_feature: list[int] = [],  # noqa: B006 (never changed)
        layer_of_condition: list[int] = [],  # noqa: B006
        width: int = 256,
        hidden: int = 0,
        blocks: int = 4,
        path: Literal["trigonometric", "linear"] = "trigonometric",
        pairing: Literal["independent", "optimal"] = "independent",
        condition_weight: float = 100.0,
        solver: Literal["euler", "midpoint", "heun", "rk4"] = "heun",
        steps: int = 8,
        student_strides: int = 0,
        student_pairs: int = 4,
        student_kind: Literal["strides", "consistency"] = "strides",
        student_times: PositiveInt = 16,
        sampler: Literal["auto", "teacher", "student"] = "auto",
    ) -> None:
        super().__init__()
        if network == "sectors" and features % sectors:
            raise CaloforgeError(f"{features} features do not come in {sectors} equal sectors: use network 'residual'")
        if not 0 <= sectors * sector_conditions <= conditions:
            raise CaloforgeError(
                f"sector_conditions ({sector_conditions}) for {sectors} sectors do not fit in {conditions} conditions"
            )
        if network == "layers" and (len(layer_of_feature), len(layer_of_condition)) != (features, conditions):
            raise CaloforgeError("network 'layers' is for the levels layers and rings of a cascade: use 'residual'")
        if sampler == "student" and student_strides == 0:
            raise CaloforgeError("sampler 'student' needs a student: set student_strides to 1 or more before training")
        if min(width, blocks, steps, student_pairs) < 1 or min(hidden, student_strides) < 0:
            raise CaloforgeError(
                f"width ({width}), blocks ({blocks}), steps ({steps}) and student_pairs ({student_pairs}) must be at "
                f"least 1, hidden ({hidden}) and student_strides ({student_strides}) at least 0"
            )
        self.sectors = sectors if network == "sectors" else 1
        self.path, self.pairing, self.condition_weight = path, pairing, condition_weight
        self.solver, self.steps, self.strides, self.pairs = solver, steps, student_strides, student_pairs
        self.by_student = student_strides > 0 and sampler != "teacher"
        self.student_kind, self.student_times = student_kind, student_times
        self.learns_from_showers = student_kind != "strides"
        # A consistency function renews its noise before each further evaluation.
        self.latent_dim = features * (student_strides if self.by_student and self.learns_from_showers else 1)
        self.velocity: nn.Module
        if network == "sectors":
            self.velocity = SectorVelocity(
                features,
                conditions,
                sectors,
                width,
                hidden or 2 * width,
                blocks,
                sector_conditions=sector_conditions,
            )
        elif network == "layers":
            self.velocity = LayerVelocity(layer_of_feature, layer_of_condition, width, hidden or 2 * width, blocks)
        else:
            self.velocity = ResidualVelocity(features, conditions, width, blocks)
        self.student = copy.deepcopy(self.velocity) if student_strides else None
        self.register_buffer("shift", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    # ---- training ----------------------------------------------------------------------------------------------

    def stages(self) -> Sequence[Stage]:
        """`velocity`, and `student` where there is one."""
        return self.velocity_stages()

    def _fit(self, data: ShowerDataset) -> None:
        x, _ = data.sample()
        # Sectors are alike: with constants of its own, each would carry the training set's fluctuations.
        mean = self._alike(x.mean(dim=0))
        spread = self._alike((x - mean).square().mean(dim=0)).sqrt()
        self.shift.copy_(mean)
        self.scale.copy_(torch.where(spread > 1e-6, spread, torch.ones_like(spread)))

    def _alike(self, of_features: Tensor) -> Tensor:
        """(F,) averaged over sectors."""
        return of_features.view(self.sectors, -1).mean(dim=0).repeat(self.sectors)

    def _velocity_loss(self, x: Tensor, c: Tensor) -> Tensor:
        x = (x - self.shift) / self.scale
        noise = torch.randn_like(x)
        if self.pairing == "optimal":
            part = part_of(x)
            wholes = part.whole(noise), part.whole(x), part.whole(c)
            noise = optimally_paired(*wholes, self.condition_weight)[part.rows]
        t = torch.rand(len(x), device=x.device, dtype=x.dtype)
        x_t, velocity = between(self.path, noise, x, t)
        return (self.velocity(x_t, t, c) - velocity).square().mean(dim=1)

    def _trajectories(self, x: Tensor, c: Tensor) -> Pair:
        """(B, pairs, n + 1, F): the teacher's trajectories from noise, for the conditions c; of x only the shape."""
        trajectories = []
        per_stride = math.ceil(self.steps / self.strides)
        for _ in range(self.pairs):
            states = trajectory(self._field(c), torch.randn_like(x), self.strides, per_stride, self.solver)
            trajectories.append(torch.stack(states, dim=1))
        return torch.stack(trajectories, dim=1), c

    def _student_loss(self, trajectories: Tensor, c: Tensor) -> Tensor:
        if self.learns_from_showers:
            return self._consistency_loss(trajectories, c)
        states = trajectories[torch.arange(len(c)), torch.randint(self.pairs, (len(c),))]
        total = states.new_zeros(len(c))
        for k in range(self.strides):
            total = total + (self._stride(states[:, k], k, c) - states[:, k + 1]).square().mean(dim=1)
        return total * self.strides

    def _consistency_loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) of features x (B, F)."""
        assert self.student is not None
        x, student = (x - self.shift) / self.scale, self.student
        noise = torch.randn_like(x)
        h = 1 / self.student_times
        t = torch.randint(self.student_times, (len(x),), device=x.device).to(x) * h
        x_t, _ = between(self.path, noise, x, t)
        with torch.no_grad():
            later = SOLVERS[self.solver](self._field(c), x_t, t, t + h, h)
        return consistency_loss(lambda x, t: student(x, t, c), x_t, t, later, t + h)

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) squared error of the velocity, and of the student where there is one."""
        loss = self._velocity_loss(x, c)
        if self.student is None:
            return loss
        if self.learns_from_showers:
            return loss + self._consistency_loss(x, c)
        with torch.no_grad():
            trajectories, _ = self._trajectories(x, c)
        return loss + self._student_loss(trajectories, c)

    # ---- sampling ----------------------------------------------------------------------------------------------

    def _field(self, c: Tensor) -> Field:
        return lambda x_t, t: self.velocity(x_t, t, c)

    def _stride(self, x: Tensor, k: int, c: Tensor) -> Tensor:
        assert self.student is not None
        return x + self.student(x, x.new_full((1,), k / self.strides), c) / self.strides

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, F), or (B, n F) of a consistency function, from N(0, 1), c (B, C) → features (B, F)."""
        student = self.student
        if self.by_student and self.learns_from_showers:
            assert student is not None
            noises = z.split(z.shape[1] // self.strides, dim=1)
            z = sample_by_consistency(lambda x, t: student(x, t, c), self.path, noises)
        elif self.by_student:
            for k in range(self.strides):
                z = self._stride(z, k, c)
        else:
            z = solve(self._field(c), z, self.steps, self.solver)
        return z * self.scale + self.shift

    def log_prob(self, x: Tensor, c: Tensor, steps: int = 16, probes: int = 0, seed: int = 0) -> Tensor:
        """(B,) log density of x (B, F) by the change of variables along the teacher's trajectory.

        Args:
            x: features. c: conditions.
            steps: of the RK4 solver.
            probes: random vectors for Hutchinson's estimate of the divergence; 0 computes it exactly, at F times the
                cost of one.
            seed: of the vectors.
        """
        generator = torch.Generator(x.device).manual_seed(seed)
        vectors = None
        if probes > 0:
            signs = torch.randint(0, 2, (probes, *x.shape), generator=generator, device=x.device)
            vectors = 2.0 * signs.to(x) - 1
        z = (x - self.shift) / self.scale
        noise, change = solve_with_divergence(self._field(c), z, steps, vectors)
        log_normal = -0.5 * (noise.square() + math.log(2 * math.pi)).sum(dim=1)
        return log_normal - change - torch.log(self.scale).sum()
