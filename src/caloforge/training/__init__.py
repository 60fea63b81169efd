"""Training: from a recipe and showers to a simulator.

`run` has `train`, the whole of it; `recipe` reads recipes, `reading` reads showers, `folder` keeps the run's folder;
`loop` has `fit`, one loop for anything with stages, and `stage_run` a stage of it, with `settings`, `weights`
(optimisers, moving average, best epoch), `callbacks` and `machine` (seeds); `distributed` is what several processes
share.
"""

from caloforge.locations import list_recipes
from caloforge.models.dataset import ShowerDataset
from caloforge.models.stages import StageSettings
from caloforge.training.callbacks import Callback, Metric, Trainer
from caloforge.training.folder import CHECKPOINT
from caloforge.training.loop import fit
from caloforge.training.machine import derived_seed
from caloforge.training.recipe import Recipe, find_recipe, load_recipe
from caloforge.training.run import train
from caloforge.training.settings import TrainingSettings, check_stages

__all__ = [
    "CHECKPOINT",
    "Callback",
    "Metric",
    "Recipe",
    "ShowerDataset",
    "StageSettings",
    "Trainer",
    "TrainingSettings",
    "check_stages",
    "derived_seed",
    "find_recipe",
    "fit",
    "list_recipes",
    "load_recipe",
    "train",
]
