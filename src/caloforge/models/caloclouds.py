"""CaloClouds II: showers as independent points, given what comes first (Buhmann et al., arXiv:2309.05704).

The number of points n, and numbers s of the whole shower, come first, from p(n, s | c). Each point is then carried from
noise to data by diffusion as in EDM (`caloforge.diffusion.karras`), without a look at the others: it is told of c and n
alone. What s says is imposed by transforms (`caloforge.transforms.point_calibration`): hits and energy of each layer,
and the centre of the shower.

A student needs one evaluation: a consistency function (`caloforge.diffusion.consistency`) distilled from the teacher,
between neighbours of a grid of times, with a step of Heun's method,

    loss = |f(x_t, t) − f(x_t', t')|² / (F (1 − t)),    t' = t + 1/N.

The paper has a normalising flow for the first part; here it is any latent model. Its grid of times is that of EDM.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from caloforge.diffusion.consistency import end_of_trajectory
from caloforge.diffusion.karras import denoised_by_heun, noise_levels, random_times
from caloforge.diffusion.solvers import Field as Velocity
from caloforge.diffusion.solvers import heun
from caloforge.diffusion.transport import PATHS, between
from caloforge.errors import CaloforgeError
from caloforge.geometry import PointGeometry
from caloforge.models.base import ShowerModel
from caloforge.models.dataset import Pair, ShowerDataset
from caloforge.models.numbers_of_points import NumbersOfPoints, given_of
from caloforge.models.stages import Stage
from caloforge.models.teacher_and_student import TeacherAndStudent
from caloforge.networks.point_scaling import PointScaling
from caloforge.networks.pointwise import PointwiseVelocity
from caloforge.networks.standardise import Standardise
from caloforge.packed import Packed, normal_noise

PATH = "trigonometric"

POINTS_AT_ONCE = 10_000
"""Points that are sampled together: they bound the memory, and few fit into the processor's cache."""


class CaloClouds(TeacherAndStudent, ShowerModel):
    """Diffusion of each point on its own, in a few steps or by a consistency function.

    Args:
        features: 1 + K + M · F: a row of `caloforge.packed`. conditions: C.
        geometry: columns F of the points, and room M for them.
        numbers: of points: `table`, as often as in the training set, whatever the conditions, or a latent model of
            n and the K numbers of the whole cloud given c, `kind` and its settings.
        whole: columns that are whole numbers, dequantised in training.
        peaked: columns with a narrow core around 0, learned as asinh of their values.
        widths: of the layers of the network.
        embedding: width of its embedding of time and conditions.
        steps: of the teacher's sampler, which takes two evaluations in each but the last.
        lowest: σ_min of the sampler, for points of width 1. highest: σ_max.
        student_strides: evaluations of the student; 0 for no student.
        student_times: N, steps of the grid of times on which the student learns.
        sampler: `teacher`, `student`, or `auto`, the student where there is one.

    Example:
        >>> model = CaloClouds(13, 1, geometry=PointGeometry(("x", "y", "energy"), 4), widths=[8, 8], embedding=4)
        >>> model.sample(torch.zeros(2, 1)).shape
        torch.Size([2, 13])
    """

    takes_clouds = True
    learns_from_showers = True
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
        widths: Annotated[list[PositiveInt], Field(min_length=1)] = [128, 256, 512, 256, 128],  # noqa: B006
        embedding: PositiveInt = 64,
        steps: PositiveInt = 13,
        lowest: PositiveFloat = 0.002,
        highest: PositiveFloat = 80.0,
        student_strides: NonNegativeInt = 0,
        student_times: PositiveInt = 18,
        sampler: Literal["auto", "teacher", "student"] = "auto",
    ) -> None:
        super().__init__()
        self.columns, self.most = len(geometry.columns), geometry.most
        if (others := features - geometry.row_length) < 0:
            raise CaloforgeError(f"{features} features are not a row of {geometry.most} {geometry.name}")
        if sampler == "student" and student_strides == 0:
            raise CaloforgeError("sampler 'student' needs a student: set student_strides to 1 or more before training")
        if not lowest < highest:
            raise CaloforgeError(f"lowest ({lowest:g}) must be below highest ({highest:g})")
        self.steps, self.lowest, self.highest = steps, lowest, highest
        self.strides, self.times = student_strides, student_times
        self.by_student = student_strides > 0 and sampler != "teacher"
        self.numbers = NumbersOfPoints(numbers, others, conditions, geometry.most)
        self.velocity = PointwiseVelocity(self.columns, conditions + 1, widths, embedding)
        self.student = copy.deepcopy(self.velocity) if student_strides else None
        self.of_points = PointScaling(geometry, whole, peaked)
        self.of_given = Standardise(conditions + 1, "each")

    # ---- training ----------------------------------------------------------------------------------------------

    def stages(self) -> Sequence[Stage]:
        """Those of the numbers, `velocity`, and `student` where there is one."""
        return [*self.numbers.stages(), *self.velocity_stages()]

    def absent_stages(self) -> frozenset[str]:
        return self.numbers.absent_stages() | {"student"}

    def sampling_settings(self) -> frozenset[str]:
        """`sampler`, and of the teacher's the steps and noise levels."""
        own = {"sampler"} if self.student is not None else set()
        return frozenset(own if self.by_student else own | {"steps", "lowest", "highest"})

    def _fit(self, data: ShowerDataset) -> None:
        self.numbers.fit(data)
        x, c = data.sample()
        clouds = self._clouds(x)
        self.of_points.fit(clouds.points)
        self.of_given.fit(self._given(clouds, c))

    def _clouds(self, x: Tensor) -> Packed:
        return Packed.of_rows(x, self.columns, self.most)

    def _given(self, clouds: Packed, c: Tensor) -> Tensor:
        """(B, C + 1) conditions and log(1 + n)."""
        return given_of(clouds, c)[:, : c.shape[1] + 1]

    def _seen(self, clouds: Packed, c: Tensor) -> Tensor:
        return self.of_given(self._given(clouds, c))

    def _noisy(self, x: Tensor, t: Tensor) -> tuple[Packed, Tensor]:
        """The clouds of rows x (B, features) with their points at times t (B,) of the path, and velocities (P, F)."""
        clouds = self._clouds(x)
        points = self.of_points(self.of_points.dequantised(clouds))
        x_t, velocity = between(PATH, normal_noise(clouds, self.columns, self.most), points, clouds.spread(t))
        return clouds.with_points(x_t), velocity

    def _velocity_loss(self, x: Tensor, c: Tensor) -> Tensor:
        t = random_times(x)
        clouds, velocity = self._noisy(x, t)
        wrong = self.velocity(clouds, t, self._seen(clouds, c)) - velocity
        return clouds.means(wrong.square()).mean(dim=1)

    def _trajectories(self, x: Tensor, c: Tensor) -> Pair:
        """None: the student learns from showers."""
        return x, c

    def _student_loss(self, trajectories: Tensor, c: Tensor) -> Tensor:
        """(B,) of rows (B, features)."""
        h = 1 / self.times
        t = torch.randint(self.times, (len(c),), device=c.device).to(c) * h
        clouds, _ = self._noisy(trajectories, t)
        seen = self._seen(clouds, c)
        with torch.no_grad():
            later = heun(self._field(clouds, seen), clouds.points, t, t + h, h)
            target = self._end(clouds.with_points(later), t + h, seen)
        wrong = self._end(clouds, t, seen) - target
        return clouds.means(wrong.square()).mean(dim=1) / (1 - t)

    def _end(self, clouds: Packed, t: Tensor, seen: Tensor) -> Tensor:
        """(P, F) the student's end of the trajectories through points at t, (B,) or (1,)."""
        student = self.student
        assert student is not None
        at = clouds.spread(t.expand(len(clouds)))
        return end_of_trajectory(lambda x, _: student(clouds.with_points(x), t, seen), clouds.points, at)

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) squared error of the velocity, and the losses of the numbers and of the student, where there are any."""
        loss = self._velocity_loss(x, c) + self.numbers.loss(x, c)
        return loss if self.student is None else loss + self._student_loss(x, c)

    # ---- sampling ----------------------------------------------------------------------------------------------

    def _field(self, clouds: Packed, seen: Tensor) -> Velocity:
        return lambda x_t, t: self.velocity(clouds.with_points(x_t), t, seen)

    def sample(self, c: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, features) rows of clouds for conditions c (B, C)."""
        counts, others = self.numbers.sample(c, generator)
        empty = Packed.of(c.new_zeros(int(counts.sum()), self.columns), counts, others)
        noises = [
            normal_noise(empty, self.columns, self.most, generator)
            for _ in range(self.strides if self.by_student else 1)
        ]
        return self.carried(empty, noises, c).rows(self.most)

    def carried(self, clouds: Packed, noises: Sequence[Tensor], c: Tensor) -> Packed:
        """The clouds that noises (P, F), one for each evaluation of a student, become; some at a time."""
        found, start = [clouds.points[:0]], 0
        for rows, part in clouds.parts(POINTS_AT_ONCE):
            stop = start + len(part.points)
            found.append(self._carried(part, [noise[start:stop] for noise in noises], c[rows]))
            start = stop
        return clouds.with_points(torch.cat(found))

    def _carried(self, clouds: Packed, noises: Sequence[Tensor], c: Tensor) -> Tensor:
        seen = self._seen(clouds, c)
        if self.by_student:
            x = self._end(clouds.with_points(noises[0]), c.new_zeros(1), seen)
            for k, noise in enumerate(noises[1:], 1):
                t = c.new_full((1,), k / self.strides)
                sigma_t, alpha_t, *_ = PATHS[PATH](t)
                x = self._end(clouds.with_points(sigma_t * noise + alpha_t * x), t, seen)
        else:
            levels = noise_levels(self.steps, self.lowest, self.highest)
            x = denoised_by_heun(self._field(clouds, seen), noises[0], levels)
        return self.of_points.inverse(x)
