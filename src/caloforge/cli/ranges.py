"""Warning for incident energies outside the training range of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def warn_outside(energies: np.ndarray, energy_range: tuple[float, float] | None, what_happens: str) -> None:
    """Warn about incident energies (N,), in MeV, outside the training range, and say what happens to them."""
    import numpy as np

    from caloforge.cli.console import stderr
    from caloforge.energies import outside_range
    from caloforge.units import format_energy

    if energy_range is None:
        return
    low, high = energy_range
    outside = float(np.mean(outside_range(energies, low, high)))
    if outside > 0:
        # All of them a unit too low: uniform:1:16 for uniform:1GeV:16GeV.
        slipped = energies.max() < low and not outside_range(1e3 * energies, low, high).any()
        hint = "; numbers without a unit are in MeV: did you mean GeV, as in 1GeV?" if slipped else ""
        stderr.print(
            f"warning: {100 * outside:.1f} % of the incident energies lie outside the training range "
            f"{format_energy(low)} … {format_energy(high)}; {what_happens}{hint}",
            markup=False,
        )
