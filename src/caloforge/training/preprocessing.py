"""Transforms fitted to a data set, of which only a part may be in memory, and their results kept."""

from __future__ import annotations

from functools import partial

from caloforge.models.dataset import ShowerDataset
from caloforge.training.distributed import Processes
from caloforge.transforms import Compose, Transform
from caloforge.transforms.base import only_buffers


def fitted(transforms: Compose, data: ShowerDataset, team: Processes) -> ShowerDataset:
    """Fit each transform on the output of those before it, and return the data with all of them on top.

    A transform sees the whole training set by `fit_chunks`, or a random sample of a large one where it has only `fit`.

    Args:
        transforms: in order.
        data: voxels (B, V) in MeV and conditions (B, C), the incident energy in MeV first.
        team: the processes that need them.

    Raises:
        CaloforgeError: a transform cannot be fitted.
    """
    for transform in transforms:
        with only_buffers(transform):
            if _class_with("fit", transform) is not Transform:
                team.same_state(transform, partial(_fit, transform, data))
        data = data.map(transform)
    return data


def _fit(transform: Transform, data: ShowerDataset) -> None:
    # A class that overrides only `fit` has constants of which an inherited `fit_chunks` knows nothing.
    same = _class_with("fit", transform) is _class_with("fit_chunks", transform)
    if not (same and transform.fit_chunks(data.pieces())):
        transform.fit(*data.sample())


def _class_with(name: str, transform: Transform) -> type:
    """The class that the method of a transform is defined in."""
    return next(cls for cls in type(transform).__mro__ if name in vars(cls))


def changes_nothing(transforms: Compose, data: ShowerDataset) -> bool:
    """Whether the transforms hand on (x, c) as they are, as a threshold does, which acts on generated showers."""
    x, c = data.take(slice(0, 1))
    after = transforms(x, c)
    return after[0] is x and after[1] is c
