"""caloforge: fast calorimeter showers from learned generators.

Six nouns: `Geometry`, `Showers`, `Transform`, `ShowerModel`, `Simulator`, `Report`; two verbs: `fit` trains a
model, `generate` makes showers. Names are imported on first use, so that `import caloforge` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from caloforge.errors import CaloforgeError as CaloforgeError
    from caloforge.evaluation.evaluate import evaluate as evaluate
    from caloforge.evaluation.report.report import Report as Report
    from caloforge.geometry import Geometry as Geometry
    from caloforge.geometry import Layer as Layer
    from caloforge.geometry import load_geometry as load_geometry
    from caloforge.models.base import ShowerModel as ShowerModel
    from caloforge.showers import Showers as Showers
    from caloforge.simulator import Simulator as Simulator
    from caloforge.simulator import generate as generate
    from caloforge.training import fit as fit
    from caloforge.transforms import Compose as Compose
    from caloforge.transforms import Transform as Transform

_HOME = {
    "CaloforgeError": "errors",
    "Compose": "transforms",
    "Geometry": "geometry",
    "Layer": "geometry",
    "Report": "evaluation.report.report",
    "ShowerModel": "models.base",
    "Showers": "showers",
    "Simulator": "simulator",
    "Transform": "transforms",
    "evaluate": "evaluation.evaluate",
    "fit": "training",
    "generate": "simulator",
    "load_geometry": "geometry",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"caloforge.{_HOME[name]}"), name)
    raise AttributeError(f"module 'caloforge' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
