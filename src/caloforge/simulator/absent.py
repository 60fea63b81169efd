"""Parts of a model that a packed run is stored without, such as a teacher: they say so when something needs them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NoReturn

from torch import nn

from caloforge.errors import CaloforgeError
from caloforge.models.base import ShowerModel


class Absent(nn.Module):
    """In place of a submodule that is not stored.

    Args:
        path: of the submodule in its model.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, *arguments: Any) -> NoReturn:
        """Raises CaloforgeError."""
        raise CaloforgeError(_missing(self.path))


def _missing(path: str) -> str:
    return f"this packed run does not contain '{path}', which its sampler does not use: take the run it was packed from"


def leave_out(model: ShowerModel, paths: Collection[str]) -> None:
    """Replace submodules of `model` by `Absent`.

    Raises:
        CaloforgeError: a submodule does not exist, or the model needs it to sample.
    """
    for path in sorted(paths):
        try:
            model.get_submodule(path)
        except AttributeError:
            raise CaloforgeError(f"the model has no part '{path}': copy the run again") from None
        if not any(path == name or path.startswith(f"{name}.") for name in model.training_only()):
            raise CaloforgeError(_missing(path).replace("its sampler does not use", "this sampler needs"))
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, Absent(path))


def left_out(model: ShowerModel) -> list[str]:
    """Paths of the submodules of `model` that are absent."""
    return [path for path, module in model.named_modules() if isinstance(module, Absent)]
