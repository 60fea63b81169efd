"""A toy reconstruction of showers: noise, topological clusters, calibration, identification variables.

    from caloforge.reconstruction import Reconstructor, load_reconstruction

    chain = Reconstructor(load_reconstruction("toy-atlas-like"), showers.geometry)
    chain(showers, np.random.default_rng(1)).energies           # (N,) MeV, not calibrated

`recipe_file` has the settings, `topoclusters`, `energy_scale`, `identification` and `overlay` the steps, and
`reconstructor` the chain of them. Voxels stand for cells; there is neither pile-up nor a tracker.
"""

from caloforge.reconstruction.energy_scale import EnergyScale
from caloforge.reconstruction.recipe_file import Reconstruction, load_reconstruction, shipped_reconstructions
from caloforge.reconstruction.reconstructor import Reconstructed, Reconstructor

__all__ = [
    "EnergyScale",
    "Reconstructed",
    "Reconstruction",
    "Reconstructor",
    "load_reconstruction",
    "shipped_reconstructions",
]
