"""A warning where incident energies lie outside the range that a run has learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def warn_outside(energies: np.ndarray, provenance: dict[str, Any], what_happens: str) -> None:
    """Say how many incident energies (N,) in MeV lie outside the training range, and what becomes of them."""
    import numpy as np

    from caloforge.cli.console import stderr
    from caloforge.energies import outside_range
    from caloforge.units import format_energy

    low, high = provenance.get("energy_range_mev", (0.0, float("inf")))
    outside = float(np.mean(outside_range(energies, low, high)))
    if outside > 0:
        stderr.print(
            f"warning: {100 * outside:.1f} % of the incident energies lie outside the training range "
            f"{format_energy(low)} … {format_energy(high)}; {what_happens}",
            markup=False,
        )
