"""Observables of single showers, by name.

`e_tot_over_e_inc`, `e_layer_<id>` (MeV), `ec_eta_<id>`, `ec_phi_<id>`, `ec_r_<id>`, `width_eta_<id>`, … (mm) and
`sparsity_<id>` are those of the CaloChallenge (`challenge`); `deposits`, `centres`, `shapes` and `clusters` contain
others, and users can add their own with `@observable`. Voxels below the readout threshold are set to zero first.
`voxel_energy` is an observable of voxels, of which samples keep only the histogram.

>>> from caloforge import sample
>>> values = compute(sample("test", stop=10), ["ec_eta_1", "n_hits"])
>>> values["n_hits"].shape
(10,)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from hist import Hist

from caloforge.errors import CaloforgeError, option
from caloforge.geometry import Geometry
from caloforge.observables import centres, clusters, deposits, shapes
from caloforge.observables.base import (
    GROUPS,
    REGISTRY,
    BoundObservable,
    Observable,
    available,
    find,
    names_of,
    observable,
    select,
    with_directions,
)
from caloforge.observables.binning import counts, single
from caloforge.observables.view import View, above_threshold
from caloforge.showers import Showers
from caloforge.units import count

__all__ = [
    "GROUPS",
    "REGISTRY",
    "BoundObservable",
    "Observable",
    "View",
    "above_threshold",
    "available",
    "centres",
    "challenge",
    "challenge_names",
    "clusters",
    "compute",
    "default",
    "deposits",
    "find",
    "histogram",
    "names_of",
    "observable",
    "select",
    "shapes",
    "table1",
    "table1_names",
    "with_directions",
]

_CENTRES = ("ec_eta", "ec_phi", "ec_r")
_WIDTHS = ("width_eta", "width_phi", "width_r")

challenge: tuple[str, ...] = ("e_tot_over_e_inc", "e_layer", *_CENTRES, *_WIDTHS, "sparsity", "voxel_energy")
"""Observables of the CaloChallenge (arXiv:2410.21611)."""

table1: tuple[str, ...] = ("e_tot_over_e_inc", "e_layer", *_CENTRES[:2], *_WIDTHS[:2])
"""CaloMan's Table 1 (arXiv:2211.15380): response, layer energies, centres and widths in eta and phi."""


def compute(
    showers: Showers, names: Iterable[str | Observable] | None = None, threshold: float | None = None
) -> dict[str, np.ndarray]:
    """Observables of each shower.

    Args:
        showers: N showers.
        names: observables (see `select`); None uses `challenge_names`.
        threshold: voxels below it (MeV) are set to zero; None uses the readout threshold of the geometry.

    Returns:
        name → (N,) float64.

    Raises:
        CaloforgeError: a name is unknown in this geometry.
    """
    wanted = challenge_names(showers.geometry) if names is None else names
    view = View(showers, threshold)
    return {bound.name: bound.values(view) for bound in select(showers.geometry, wanted)}


def histogram(
    showers: Showers, name: str | Observable, *, like: Hist[Any] | None = None, threshold: float | None = None
) -> Hist[Any]:
    """An observable's histogram, in the bins of the CaloChallenge or those of another histogram.

    >>> from caloforge import sample
    >>> reference = histogram(sample("test", stop=100), "ec_eta_1")
    >>> histogram(sample("train", stop=100), "ec_eta_1", like=reference).sum(flow=True)
    100.0

    Args:
        showers: N showers.
        name: of the observable, with its layer, as `ec_eta_1`; or an observable of showers or voxels. Of these, voxels
            without energy are not counted, as in reports.
        like: a histogram whose last axis to use, such as the reference's: some bins depend on the sample.
        threshold: voxels below it (MeV) are set to zero; None uses the readout threshold of the geometry.

    Returns:
        counts, with what lies outside in the flow bins; the last bin is closed, as in the challenge.

    Raises:
        CaloforgeError: the name is unknown in this geometry, or the showers allow no bins.
    """
    bound = find(showers.geometry, name.name if isinstance(name, Observable) else name)
    view = View(showers, threshold)
    if bound.observable.per == "voxel":
        values = np.ravel(bound.observable.compute(view))
        values = values[values > 0]
    else:
        values = bound.values(view)
    edges = bound.edges(values, threshold) if like is None else np.asarray(like.axes[-1].edges)
    if edges is None:
        raise CaloforgeError(
            f"there are no bins for '{bound.name}': none of the {count(len(showers), 'shower')} has a value above the "
            f"threshold; give {option('like')} a histogram with bins"
        )
    return single(edges, counts(values, edges), name=bound.name, label=bound.label, axis_label=bound.axis_label)


def challenge_names(geometry: Geometry) -> list[str]:
    """The CaloChallenge observables of a shower in this geometry, without `voxel_energy`, which is one of voxels."""
    return names_of(select(geometry, challenge[:-1]))


def table1_names(geometry: Geometry) -> list[str]:
    """The observables of CaloMan's Table 1 in this geometry."""
    return names_of(select(geometry, table1))


def default(geometry: Geometry) -> list[BoundObservable]:
    """Default observables of a report: the CaloChallenge's, and others registered for this number of layers."""
    few = [name for name, entry in REGISTRY.items() if _is_default(entry, geometry)]
    return select(geometry, [*challenge, *few])


def _is_default(entry: Observable, geometry: Geometry) -> bool:
    return entry.most_layers is None or geometry.n_layers <= entry.most_layers
