"""Are observables distributed as in the reference, one by one and together?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from caloforge.evaluation.comparison import is_available
from caloforge.evaluation.metric_tables import auc_entry
from caloforge.evaluation.verdict.point import MOST, Point, level_of


def separations(data: dict[str, Any]) -> Iterator[Point]:
    """Separation powers, gathered by layer, and what lies outside of the histograms."""
    powers = {k: v for k, v in data.get("separation_power", {}).items() if is_available(v)}
    if not powers:
        return
    groups: dict[str, list[str]] = {}
    for name, entry in powers.items():
        if level_of(entry["pull"]):
            last = name.rpartition("_")[2]
            groups.setdefault(f"layer {last}" if last.lstrip("-").isdigit() else name, []).append(name)
    ranked = sorted(groups.items(), key=lambda item: -max(powers[n]["pull"] for n in item[1]))
    for where, names in ranked[:MOST]:
        names.sort(key=lambda n: -powers[n]["pull"])
        level = level_of(powers[names[0]]["pull"]) or "note"
        shown = ", ".join(f"{n} {powers[n]['value_at_n']:.4f} (floor {powers[n]['floor']:.4f})" for n in names[:4])
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        words = f"{where}: separation powers" if where.startswith("layer ") else "separation power"
        yield Point(level, "separation_power", f"{words} {shown}{more}", powers[names[0]]["pull"])
    if len(ranked) > MOST:
        largest = max(powers[name]["pull"] for name in ranked[MOST][1])
        n = len(ranked) - MOST
        text = f"separation powers above the floor in {n} more layer{'s or observables' if n > 1 else ' or observable'}"
        yield Point(level_of(largest) or "note", "separation_power", text, largest)
    if not ranked:
        yield Point("good", "separation_power", f"all {len(powers)} separation powers lie at the floor")
    for name, entry in powers.items():
        lost = entry["outside"]["generated"] - entry["outside"]["reference"]
        if lost > 0.05:
            yield Point(
                "note",
                "separation_power",
                f"{name}: {100 * entry['outside']['generated']:.1f} % of the generated lie outside the histogram "
                f"({100 * entry['outside']['reference']:.1f} % of the reference)",
            )


def wasserstein(data: dict[str, Any]) -> Iterator[Point]:
    """1-Wasserstein distances."""
    entries = {k: v for k, v in data.get("wasserstein", {}).items() if is_available(v)}
    above = sorted((k for k, v in entries.items() if level_of(v["pull"])), key=lambda k: -entries[k]["pull"])
    if above:
        level = level_of(entries[above[0]]["pull"]) or "note"
        numbers = ", ".join(f"{k} {entries[k]['value_at_n']:.4g} (floor {entries[k]['floor']:.2g})" for k in above[:4])
        more = f" and {len(above) - 4} more" if len(above) > 4 else ""
        text = f"1-Wasserstein distances above the floor: {numbers}{more}"
        yield Point(level, "wasserstein", text, entries[above[0]]["pull"])
    elif entries:
        yield Point("good", "wasserstein", f"all {len(entries)} 1-Wasserstein distances lie at the floor")


def multivariate(data: dict[str, Any]) -> Iterator[Point]:
    """FPD, KPD, precision, recall and coverage, correlations."""
    for key, name in (("fpd", "FPD"), ("kpd", "KPD")):
        entry = data.get(key)
        if not is_available(entry):
            continue
        level = level_of(entry["pull"])
        value, floor = entry.get("value_at_n", entry["value"]), entry["floor"]
        numbers = f"{value:.2f} ± {entry['error']:.2f}, floor {floor:.2f} ± {entry['floor_error']:.2f}"
        words = f"{name} × 10³ {numbers}" if level else f"{name} × 10³ lies at the floor: {numbers}"
        yield Point(level or "good", key, words, entry["pull"])
    prdc = data.get("prdc", {})
    if is_available(prdc):
        for name in ("precision", "recall", "coverage"):
            entry = prdc.get(name)
            if is_available(entry) and (level := level_of(-entry["pull"])):
                yield Point(level, "prdc", f"{name} {entry['value']:.3f}, floor {entry['floor']:.3f}", -entry["pull"])
    for key, entry in data.get("correlations", {}).items():
        if is_available(entry) and (level := level_of(entry["pull"])):
            text = f"correlations between {_MATRICES.get(key, key)} differ"
            numbers = f"root mean square {entry['value_at_n']:.4f}, floor {entry['floor']:.4f}"
            yield Point(level, "correlations", f"{_pair(entry)}{text}: {numbers}", entry["pull"])


_MATRICES = {"layers": "layer energies", "directions": "the layers' centres of energy"}


def _pair(entry: dict[str, Any]) -> str:
    """The pair whose correlation differs most, in words that go before others."""
    if "largest" not in entry:
        return ""
    pair = entry["largest"]
    numbers = f"is {pair['generated']:.2f}, reference {pair['reference']:.2f}"
    return f"correlation of {pair['first']} and {pair['second']} {numbers}; "


def classifiers(data: dict[str, Any]) -> Iterator[Point]:
    """Networks that were trained to tell the samples apart."""
    tests = {name: entry for name, entry in data.get("classifier", {}).items() if is_available(entry)}
    for name, test in sorted(tests.items(), key=lambda item: -item[1]["auc"]):
        entry = auc_entry(test)
        level = level_of(entry["pull"])
        floor = f"floor {entry['floor']:.3f}" if "floor" in entry else "no floor, 0.5 for equal samples"
        numbers = f"AUC {entry['value']:.3f}, {floor}"
        said = f"the classifier {name} tells them apart" if level else f"classifier {name} at the floor"
        yield Point(level or "good", "classifier", f"{said}: {numbers}", entry["pull"])
