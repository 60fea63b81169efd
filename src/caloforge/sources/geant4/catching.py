"""A stacking action that takes particles out of Geant4 as they enter the detector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import geant4_pybind as g4

from caloforge.sources.geant4.fast import entering
from caloforge.sources.geant4.gun import Primary


class Catcher(g4.G4UserStackingAction):
    """Kills new tracks in front of the detector that enter it and are accepted, and appends them to `caught`.

    There is vacuum in front, so a track enters where its line meets the front face. Particles that are born inside are
    left to Geant4: their showers begin at other depths than those of the training.

    Args:
        caught: list of this event.
        accepts: whether a particle is to be taken out.
        half_width: of the front face in mm.
    """

    def __init__(self, caught: list[Primary], accepts: Callable[[Primary], bool], half_width: float) -> None:
        super().__init__()
        self._caught, self._accepts, self._half_width = caught, accepts, half_width

    def ClassifyNewTrack(self, track: Any) -> Any:
        place = track.GetPosition()
        if place.z > 0:
            return g4.fUrgent
        way = track.GetMomentumDirection()
        incidence = entering((place.x, place.y, place.z), (way.x, way.y, way.z), self._half_width)
        if incidence is not None:
            name = str(track.GetDefinition().GetParticleName())
            primary = Primary(name, float(track.GetKineticEnergy()), incidence)
            if self._accepts(primary):
                self._caught.append(primary)
                return g4.fKill
        return g4.fUrgent
