"""Training: one loop for anything with stages (`loop`), its settings, and who watches it."""

from caloforge.training.loop import fit
from caloforge.training.machine import choose_device, derived_seed
from caloforge.training.settings import StageSettings, TrainingSettings, check_stages
from caloforge.training.watching import Metric, Observer

__all__ = [
    "Metric",
    "Observer",
    "StageSettings",
    "TrainingSettings",
    "check_stages",
    "choose_device",
    "derived_seed",
    "fit",
]
