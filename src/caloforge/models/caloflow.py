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

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.models.dataset import ShowerDataset
from caloforge.models.energies_then_shapes import EnergiesThenShapes, alternating_orders, chained
from caloforge.models.stages import Losses, Stage, TrainingBatch
from caloforge.networks.distillation import frozen_weights, x_loss, z_loss
from caloforge.networks.flows import Flow
from caloforge.networks.made import AutoregressiveSpline
from caloforge.sharing import Part, part_of, sharing


class CaloFlow(EnergiesThenShapes):
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
        super().__init__(
            features,
            conditions,
            geometry=geometry,
            energy_scale=energy_scale,
            noise=noise,
            empty_below=empty_below,
            alpha=alpha,
            standardise=standardise,
            marginals=marginals,
            bins=bins,
            bound=bound,
            energy_blocks=energy_blocks,
            energy_width=energy_width,
            energy_hidden_layers=energy_hidden_layers,
            marginals_width=shape_width,
        )
        if sampler == "student" and not student:
            raise CaloforgeError("sampler 'student' needs a student; set model.student to true")
        self.by_student = student and sampler != "teacher"
        if not self.by_student:
            self.export_obstacle = "flow II samples voxel by voxel in a loop; train a student and export that"
        given = conditions + self.n_layers
        orders = alternating_orders(self.layers.layer_index, shape_blocks - 1)
        block: dict[str, Any] = {"bins": bins, "bound": bound, "width": shape_width}
        block |= {"hidden_layers": shape_hidden_layers, "dropout": dropout}

        def blocks(side: Literal["data", "noise"]) -> Flow:
            steps = [AutoregressiveSpline(features, given, **block, given=side) for _ in range(shape_blocks)]
            return chained(steps, orders)

        self.shapes = blocks("data")
        self.student = blocks("noise") if student else None

    @property
    def sampling_flow(self) -> Flow:
        return self.student if self.by_student and self.student is not None else self.shapes

    # ---- training --------------------------------------------------------------------------------------------

    def stages(self) -> Sequence[Stage]:
        """`layer_energies`, `shapes` and, where there is one, `student`."""
        stages = [*super().stages()]
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
        total = super().loss(x, c)
        return total if self.student is None else total + self._student_loss(x, c)


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
