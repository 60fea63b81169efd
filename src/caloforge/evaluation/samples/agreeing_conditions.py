"""Conditions of two samples that are compared: those that both have, if they are distributed alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import kolmogorov

from caloforge.conditions import Columns
from caloforge.conditions.kinds import superfluous
from caloforge.energies.agreement import SMALLEST_P
from caloforge.errors import CaloforgeError, either, option

Names = Mapping[str, str]
"""Sample → what to call it."""


def compared_conditions(samples: Mapping[str, Columns], names: Names, frame: str, ignored: Sequence[str]) -> list[str]:
    """Names of the conditions that all samples have and agree in.

    Left out are those on which showers cannot depend, and those that are the same for all showers of the reference and
    that another sample does not have.

    Args:
        samples: conditions of each sample; one of them is `reference`.
        names: what to call them.
        frame: the reference's attribute.
        ignored: conditions that are not to be looked at.

    Raises:
        CaloforgeError: one is missing in a sample, has another unit there, or is distributed differently.
    """
    reference = samples["reference"]
    skipped = {*ignored, *superfluous(reference, frame)}
    found = list(dict.fromkeys(name for columns in samples.values() for name in columns if name not in skipped))
    kept = []
    for name in found:
        lacking = [key for key, columns in samples.items() if name not in columns]
        if lacking and all(_is_constant(columns, name) for columns in samples.values() if name in columns):
            continue
        if lacking:
            has = next(key for key in samples if name in samples[key])
            span = samples[has].kind(name).span(samples[has][name])
            raise CaloforgeError(
                f"{names[has]} has the condition {name} ({span}), {names[lacking[0]]} does not: {_remedy(name)}"
            )
        for key, columns in samples.items():
            if key != "reference":
                _check_same(name, columns, reference, names[key], names["reference"])
        kept.append(name)
    return kept


def _is_constant(columns: Columns, name: str) -> bool:
    return bool(np.ptp(columns[name]) == 0) if columns.n else True


def _remedy(name: str) -> str:
    like = either("generate with --energies like:REFERENCE", "generate at the conditions of the reference")
    return f"{like}, or compare without it ({option('ignore_conditions', name)})"


def _check_same(name: str, columns: Columns, reference: Columns, who: str, other: str) -> None:
    kind, known = columns.kind(name), reference.kind(name)
    if kind.unit != known.unit:
        raise CaloforgeError(
            f"{name} is in {kind.unit or 'no unit'} in {who}, in {known.unit or 'no unit'} in {other}: convert one"
        )
    a, b = np.sort(kind.turned(columns[name])), np.sort(kind.turned(reference[name]))
    at = np.union1d(a, b)
    gap = np.searchsorted(a, at, "right") / len(a) - np.searchsorted(b, at, "right") / len(b)
    d = float(np.abs(gap).max())
    if float(kolmogorov(d * np.sqrt(len(a) * len(b) / (len(a) + len(b))))) < SMALLEST_P:
        raise CaloforgeError(
            f"{name} of {who} ({kind.span(a)}) and {other} ({kind.span(b)}) differ (Kolmogorov–Smirnov distance "
            f"{d:.3f}): {_remedy(name)}"
        )
