"""caloforge: fast calorimeter showers from generative models.

    import caloforge as cf

    train, test = cf.sample("train"), cf.sample("test")   # Geant4 photons in the package; files: cf.read("*.h5")
    run = cf.train("flagship-demo", train)                # a `Simulator`
    generated = run.generate(test.energies, seed=1)       # `Showers`
    report = cf.evaluate(generated, test)                 # a `Report`

Names are imported on first use, so that `import caloforge` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from caloforge import observables as observables
    from caloforge import plots as plots
    from caloforge.errors import CaloforgeError as CaloforgeError
    from caloforge.evaluation.estimates import Estimate as Estimate
    from caloforge.evaluation.evaluate import evaluate as evaluate
    from caloforge.evaluation.metrics.base import Chart as Chart
    from caloforge.evaluation.metrics.base import Metric as Metric
    from caloforge.evaluation.metrics.base import Section as Section
    from caloforge.evaluation.metrics.base import metric as metric
    from caloforge.evaluation.report.report import Report as Report
    from caloforge.geometry import Geometry as Geometry
    from caloforge.geometry import Layer as Layer
    from caloforge.geometry import load_geometry as load_geometry
    from caloforge.models.base import ShowerModel as ShowerModel
    from caloforge.observables import observable as observable
    from caloforge.points import PointClouds as PointClouds
    from caloforge.points import read_points as read_points
    from caloforge.points import write_points as write_points
    from caloforge.reweighting.reweight import reweight as reweight
    from caloforge.showers import ShowerFile as ShowerFile
    from caloforge.showers import Showers as Showers
    from caloforge.showers.inputs import read as read
    from caloforge.simulator import ShowerStream as ShowerStream
    from caloforge.simulator import Simulator as Simulator
    from caloforge.simulator import generate as generate
    from caloforge.sources.sample import sample as sample
    from caloforge.training import Callback as Callback
    from caloforge.training import Recipe as Recipe
    from caloforge.training import Trainer as Trainer
    from caloforge.training import fit as fit
    from caloforge.training import load_recipe as load_recipe
    from caloforge.training import train as train
    from caloforge.transforms import Compose as Compose
    from caloforge.transforms import Transform as Transform
    from caloforge.zoo import load as load

_HOME = {
    "Callback": "training",
    "CaloforgeError": "errors",
    "Chart": "evaluation.metrics.base",
    "Compose": "transforms",
    "Estimate": "evaluation.estimates",
    "Geometry": "geometry",
    "Layer": "geometry",
    "Metric": "evaluation.metrics.base",
    "PointClouds": "points",
    "Recipe": "training",
    "Report": "evaluation.report.report",
    "Section": "evaluation.metrics.base",
    "ShowerFile": "showers",
    "ShowerModel": "models.base",
    "ShowerStream": "simulator",
    "Showers": "showers",
    "Simulator": "simulator",
    "Trainer": "training",
    "Transform": "transforms",
    "evaluate": "evaluation.evaluate",
    "fit": "training",
    "generate": "simulator",
    "load": "zoo",
    "load_geometry": "geometry",
    "load_recipe": "training",
    "metric": "evaluation.metrics.base",
    "observable": "observables",
    "read": "showers.inputs",
    "read_points": "points",
    "reweight": "reweighting.reweight",
    "sample": "sources.sample",
    "train": "training",
    "write_points": "points",
}
"""Public name → module of the package that it comes from."""

_ROOMS = ("observables", "plots")
"""Public names that are modules of the package."""

__all__ = ["__version__", *sorted((*_HOME, *_ROOMS))]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"caloforge.{_HOME[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"caloforge.{name}")
    raise AttributeError(f"module 'caloforge' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
