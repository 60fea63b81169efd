"""Invertible preprocessing, one file per kind; `base` has the interface, `registered` the names used in recipes."""

from caloforge.transforms.base import Compose, Transform
from caloforge.transforms.cartesian_cells import CartesianCells
from caloforge.transforms.deposited_energy import AppendDepositedEnergy, DepositedEnergyShares
from caloforge.transforms.incident_energy import IncidentEnergyFraction, LinearCondition
from caloforge.transforms.logit import Logit
from caloforge.transforms.readout_threshold import ReadoutThreshold
from caloforge.transforms.registered import TRANSFORMS, build_transforms, specification_of
from caloforge.transforms.trained_conditions import TrainedConditions

__all__ = [
    "TRANSFORMS",
    "AppendDepositedEnergy",
    "CartesianCells",
    "Compose",
    "DepositedEnergyShares",
    "IncidentEnergyFraction",
    "LinearCondition",
    "Logit",
    "ReadoutThreshold",
    "TrainedConditions",
    "Transform",
    "build_transforms",
    "specification_of",
]
