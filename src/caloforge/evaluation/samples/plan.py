"""The random subsets behind errors and baselines, drawn so that incident-energy spectra stay comparable."""

from __future__ import annotations

import numpy as np

from caloforge.energies.agreement import halves, share_spectrum, thin
from caloforge.evaluation.estimates import Plan, Rows

DRAWS = 20
"""Random subsets behind each mean and spread."""


def make_plan(
    generated: np.ndarray,
    reference: np.ndarray,
    independent: np.ndarray | None,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Plan:
    """Draw the subsets.

    Args:
        generated, reference, independent: incident energies (n,) in MeV of each sample; without an independent
            reference the reference is split in two.
        rng: source of randomness.
        draws: subsets of each kind.
    """
    n_g, n_r = len(generated), len(reference)
    n = min(n_g, n_r // 2) if independent is None else min(n_g, n_r, len(independent))
    if n < 1:
        return Plan(n_g, n_r, n, False, [], [], [], [])
    stratified = share_spectrum(generated, reference)
    pool = reference if independent is None else np.concatenate([reference, independent])

    def pairs(size: int) -> list[Rows]:
        return [(thin(generated, size, rng, stratified), thin(reference, size, rng, stratified)) for _ in range(draws)]

    m = max(1, min(n_g, n_r) // 2)
    error = pairs(m)
    at_n = error if n == m else pairs(n)
    null = [halves(pool, n, rng, stratified) for _ in range(draws)]
    baseline = null
    if independent is not None:
        baseline = [
            (thin(reference, n, rng, stratified), n_r + thin(independent, n, rng, stratified)) for _ in range(draws)
        ]
    return Plan(n_g, n_r, n, stratified, at_n, baseline, null, error)
