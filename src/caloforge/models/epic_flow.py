"""EPiC flow matching: point clouds by conditional flow matching with EPiC layers (Buhmann et al., arXiv:2310.00049).

The number of points n, and numbers s of the whole cloud such as E_dep / E_inc, come first, from p(n, s | c); then each
point is carried from noise to data by a velocity that depends on all points, whatever their order,

    dx_i/dt = v_i(x_1 … x_n, t, c, n, s),    loss = 1/n Σ_i ‖v_i − (σ̇_t ε_i + α̇_t x_i)‖²,

with the paths and solvers of `caloforge.models.flow_matching`, and the same student that takes a few strides. What is
learned of whole numbers and of columns with a narrow core: `caloforge.networks.point_scaling`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from caloforge.diffusion.solvers import Field, solve, trajectory
from caloforge.diffusion.transport import between
from caloforge.errors import CaloforgeError
from caloforge.geometry import PointGeometry
from caloforge.models.base import ShowerModel
from caloforge.models.dataset import Pair, ShowerDataset
from caloforge.models.numbers_of_points import NumbersOfPoints, given_of
from caloforge.models.stages import Stage
from caloforge.models.teacher_and_student import TeacherAndStudent
from caloforge.networks.point_networks import EPiCVelocity
from caloforge.networks.point_scaling import PointScaling
from caloforge.networks.standardise import Standardise
from caloforge.packed import Packed, normal_noise

POINTS_AT_ONCE = 10_000
"""Points that are sampled together: they bound the memory, and few fit into the processor's cache."""

Solver = Literal["euler", "midpoint", "heun", "rk4"]


class EPiCFlow(TeacherAndStudent, ShowerModel):
    """Points carried from noise to data together, in a few steps of a solver or a few strides of a student.

    Args:
        features: 1 + K + M · F: a row of `caloforge.packed`. conditions: C.
        geometry: columns F of the points, and room M for them.
        numbers: of points: `table`, as often as in the training set, whatever the conditions, or a latent model of
            n and the K numbers of the whole cloud given c, `kind` and its settings.
        whole: columns that are whole numbers, dequantised in training.
        peaked: columns with a narrow core around 0, learned as asinh of their values.
        width: hidden channels of the points.
        global_width: of the global vector.
        layers: number of EPiC layers.
        path: `trigonometric` or `linear` (`caloforge.diffusion.transport`).
        solver: `euler`, `midpoint`, `heun` or `rk4`.
        steps: of the solver.
        student_strides: evaluations of the student; 0 for no student.
        student_pairs: noises per training cloud that the student learns from.
        sampler: `teacher`, `student`, or `auto`, the student where there is one.

    Example:
        >>> model = EPiCFlow(13, 1, geometry=PointGeometry(("x", "y", "energy"), 4), width=8, layers=1)
        >>> model.sample(torch.zeros(2, 1)).shape
        torch.Size([2, 13])
    """

    takes_clouds = True
    export_obstacle = "the number of its outputs differs from shower to shower"

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        geometry: PointGeometry,
        numbers: Literal["table"] | dict[str, Any] = "table",
        whole: list[str] = [],  # noqa: B006 - read only, and shown in the schema
        peaked: list[str] = [],  # noqa: B006
        width: PositiveInt = 128,
        global_width: PositiveInt = 16,
        layers: PositiveInt = 6,
        path: Literal["trigonometric", "linear"] = "trigonometric",
        solver: Solver = "heun",
        steps: PositiveInt = 32,
        student_strides: NonNegativeInt = 0,
        student_pairs: PositiveInt = 4,
        sampler: Literal["auto", "teacher", "student"] = "auto",
    ) -> None:
        super().__init__()
        self.columns, self.most = len(geometry.columns), geometry.most
        if (others := features - geometry.row_length) < 0:
            raise CaloforgeError(f"{features} features are not a row of {geometry.most} {geometry.name}")
        if sampler == "student" and student_strides == 0:
            raise CaloforgeError("sampler 'student' needs a student: set student_strides to 1 or more before training")
        self.path, self.solver, self.steps = path, solver, steps
        self.strides, self.pairs = student_strides, student_pairs
        self.by_student = student_strides > 0 and sampler != "teacher"
        self.numbers = NumbersOfPoints(numbers, others, conditions, geometry.most)
        given = conditions + 1 + others
        self.velocity = EPiCVelocity(self.columns, given, width, global_width, layers)
        self.student = copy.deepcopy(self.velocity) if student_strides else None
        self.of_points = PointScaling(geometry, whole, peaked)
        self.of_given = Standardise(given, "each")

    # ---- training ----------------------------------------------------------------------------------------------

    def stages(self) -> Sequence[Stage]:
        """Those of the numbers, `velocity`, and `student` where there is one."""
        return [*self.numbers.stages(), *self.velocity_stages()]

    def absent_stages(self) -> frozenset[str]:
        return self.numbers.absent_stages() | {"student"}

    def _fit(self, data: ShowerDataset) -> None:
        self.numbers.fit(data)
        x, c = data.sample()
        clouds = self._clouds(x)
        self.of_points.fit(clouds.points)
        self.of_given.fit(given_of(clouds, c))

    def _clouds(self, x: Tensor) -> Packed:
        return Packed.of_rows(x, self.columns, self.most)

    def _noise(self, clouds: Packed, generator: torch.Generator | None = None) -> Tensor:
        return normal_noise(clouds, self.columns, self.most, generator)

    def _velocity_loss(self, x: Tensor, c: Tensor) -> Tensor:
        clouds = self._clouds(x)
        points, noise = self.of_points(self.of_points.dequantised(clouds)), self._noise(clouds)
        t = torch.rand(len(x), device=x.device, dtype=x.dtype)
        x_t, velocity = between(self.path, noise, points, clouds.spread(t))
        found = self.velocity(clouds.with_points(x_t), t, self._seen(clouds, c))
        return clouds.means((found - velocity).square()).mean(dim=1)

    def _seen(self, clouds: Packed, c: Tensor) -> Tensor:
        return self.of_given(given_of(clouds, c))

    def _trajectories(self, x: Tensor, c: Tensor) -> Pair:
        """(B, pairs, strides + 1, features) rows on the teacher's trajectories, for as many points as x has."""
        parts, found = list(self._clouds(x).parts(POINTS_AT_ONCE)), []
        for _ in range(self.pairs):
            found.append(torch.cat([self._trajectory(clouds, c[rows]) for rows, clouds in parts]))
        return torch.stack(found, dim=1), c

    def _trajectory(self, clouds: Packed, c: Tensor) -> Tensor:
        """(B, strides + 1, features) rows on one trajectory of each cloud."""
        per_stride = math.ceil(self.steps / self.strides)
        states = trajectory(self._field(clouds, c), self._noise(clouds), self.strides, per_stride, self.solver)
        return torch.stack([clouds.with_points(state).rows(self.most) for state in states], dim=1)

    def _student_loss(self, trajectories: Tensor, c: Tensor) -> Tensor:
        rows = trajectories[torch.arange(len(c)), torch.randint(self.pairs, (len(c),))]
        states = [self._clouds(rows[:, k]) for k in range(self.strides + 1)]
        seen, total = self._seen(states[0], c), rows.new_zeros(len(c))
        for k in range(self.strides):
            wrong = self._stride(states[k], k, seen) - states[k + 1].points
            total = total + states[k].means(wrong.square()).mean(dim=1)
        return total * self.strides

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) squared error of the velocity, and the losses of the numbers and of the student, where there are any."""
        loss = self._velocity_loss(x, c) + self.numbers.loss(x, c)
        if self.student is None:
            return loss
        with torch.no_grad():
            trajectories, _ = self._trajectories(x, c)
        return loss + self._student_loss(trajectories, c)

    # ---- sampling ----------------------------------------------------------------------------------------------

    def _field(self, clouds: Packed, c: Tensor) -> Field:
        seen = self._seen(clouds, c)
        return lambda x_t, t: self.velocity(clouds.with_points(x_t), t, seen)

    def _stride(self, clouds: Packed, k: int, seen: Tensor) -> Tensor:
        assert self.student is not None
        return clouds.points + self.student(clouds, seen.new_full((1,), k / self.strides), seen) / self.strides

    def sample(self, c: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, features) rows of clouds for conditions c (B, C)."""
        counts, others = self.numbers.sample(c, generator)
        empty = Packed.of(c.new_zeros(int(counts.sum()), self.columns), counts, others)
        return self.carried(empty.with_points(self._noise(empty, generator)), c).rows(self.most)

    def carried(self, clouds: Packed, c: Tensor) -> Packed:
        """Clouds of noise → the clouds that the same points become, for conditions c (B, C); some at a time."""
        points = [self._carried(part, c[rows]).points for rows, part in clouds.parts(POINTS_AT_ONCE)]
        return clouds.with_points(torch.cat([clouds.points[:0], *points]))

    def _carried(self, clouds: Packed, c: Tensor) -> Packed:
        if self.by_student:
            seen = self._seen(clouds, c)
            for k in range(self.strides):
                clouds = clouds.with_points(self._stride(clouds, k, seen))
        else:
            clouds = clouds.with_points(solve(self._field(clouds, c), clouds.points, self.steps, self.solver))
        return clouds.with_points(self.of_points.inverse(clouds.points))
