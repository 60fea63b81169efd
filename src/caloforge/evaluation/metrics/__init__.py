"""The metrics of an evaluation: one file each, entered into the registry by `@metric`.

Importing the package registers them in the order in which reports list them. The classifier tests and the numbers per
incident energy are not in the registry: `evaluate` runs them where they are asked for.
"""

from caloforge.evaluation.metrics import (
    separation,
    wasserstein,
    response,
    w1_subsamples,
    profiles,
    correlations,
    empty_voxels,
    prdc,
    duplicates,
    fpd_kpd,
)
