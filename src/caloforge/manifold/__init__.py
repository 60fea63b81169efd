"""The manifold of showers: its dimension, and densities on it.

    dimension    intrinsic dimension: Levina-Bickel (with MacKay-Ghahramani's correction), TwoNN, local PCA
    density      log density on the image of a decoder

Points are the rows of an (n, F) array or tensor; their unit is arbitrary, since only ratios of distances matter.
"""

from caloforge.manifold.density import decoder_jacobian, log_density_on_manifold, manifold_log_prob
from caloforge.manifold.dimension import (
    DimensionEstimate,
    dimension_from_distances,
    intrinsic_dimension,
    levina_bickel,
    local_pca_dimension,
    two_nn,
)
from caloforge.neighbours import distinct_points, nearest_neighbours

__all__ = [
    "DimensionEstimate",
    "decoder_jacobian",
    "dimension_from_distances",
    "distinct_points",
    "intrinsic_dimension",
    "levina_bickel",
    "local_pca_dimension",
    "log_density_on_manifold",
    "manifold_log_prob",
    "nearest_neighbours",
    "two_nn",
]
