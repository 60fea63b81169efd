"""From a recipe and a file of showers to a trained simulator in a run folder.

`job` says what is asked for, `folder` keeps the run's folder, `training` does it.
"""

from caloforge.runs.folder import CHECKPOINT
from caloforge.runs.job import Training
from caloforge.runs.training import train

__all__ = ["CHECKPOINT", "Training", "train"]
