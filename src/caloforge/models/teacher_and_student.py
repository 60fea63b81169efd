"""`TeacherAndStudent`: what flow matchings share: a velocity, and a student of it that samples in a few evaluations.

A student of strides learns to follow the velocity's trajectories, which are drawn once before it is trained. A
consistency function learns from the training showers (`learns_from_showers`).
"""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from caloforge.models.dataset import Pair, ShowerDataset
from caloforge.models.stages import Stage


class TeacherAndStudent:
    """Mixed into a model that sets these, `velocity` the teacher; `by_student` says which of the two samples."""

    velocity: nn.Module
    student: nn.Module | None
    by_student: bool
    learns_from_showers: bool = False

    def sampling_settings(self) -> frozenset[str]:
        """`sampler`, and the solver with its steps where it is the teacher that samples."""
        own = {"sampler"} if self.student is not None else set()
        return frozenset(own if self.by_student else own | {"solver", "steps"})

    def training_only(self) -> frozenset[str]:
        """Of teacher and student, the one that does not sample."""
        if self.student is None:
            return frozenset()
        return frozenset({"velocity"} if self.by_student else {"student"})

    def velocity_stages(self) -> list[Stage]:
        """`velocity`, and `student` where there is one."""
        stages = [Stage("velocity", self._velocity_loss, self.velocity.parameters(), fit=self._fit)]
        if self.student is not None:
            stages.append(
                Stage(
                    "student",
                    self._student_loss,
                    self.student.parameters(),
                    fit=self._fit_student,
                    prepare=None if self.learns_from_showers else lambda data: data.map(self._trajectories, "once"),
                )
            )
        return stages

    def _fit_student(self, data: ShowerDataset) -> None:
        assert self.student is not None
        self.student.load_state_dict(self.velocity.state_dict())

    @abstractmethod
    def _fit(self, data: ShowerDataset) -> None:
        """Take constants from the training set."""

    @abstractmethod
    def _velocity_loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) squared error of the velocity."""

    @abstractmethod
    def _trajectories(self, x: Tensor, c: Tensor) -> Pair:
        """The teacher's trajectories for conditions c (B, C)."""

    @abstractmethod
    def _student_loss(self, trajectories: Tensor, c: Tensor) -> Tensor:
        """(B,) loss of the student: on trajectories, or on showers if it learns from these."""
