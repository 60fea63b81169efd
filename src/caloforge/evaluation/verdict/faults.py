"""What no fluctuation makes: copies, voxels that stay empty, numbers that could not be had."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from caloforge.evaluation.comparison import is_available
from caloforge.evaluation.formatting import share
from caloforge.evaluation.verdict.point import MOST, Point, level_of
from caloforge.units import count


def duplicates(data: dict[str, Any]) -> Iterator[Point]:
    """Showers that repeat others, of the sample or of the training set, and showers without energy."""
    entries = data.get("duplicates", {})
    if not is_available(entries):
        return
    texts = {
        "within": "of the generated showers repeat another generated one exactly",
        "of_reference": "of the generated showers are exact copies of reference showers",
        "of_training": "of the generated showers are exact copies of training showers: the generator memorised",
        "near": "of the generated showers have a near-duplicate among the generated",
        "near_training": "of the generated showers come suspiciously near a training shower",
    }
    found = [(key, entry) for key in texts if is_available(entry := entries.get(key)) and level_of(entry["pull"])]
    for key, entry in sorted(found, key=lambda item: -item[1]["pull"]):
        floor = f"(reference: {100 * entry['floor']:.2f} %)"
        text = f"{100 * entry['value']:.2f} % {texts[key]} {floor}"
        yield Point(level_of(entry["pull"]) or "note", "duplicates", text, entry["pull"])
    empty = entries.get("empty")
    if is_available(empty) and level_of(abs(empty["pull"])):
        shares = f"{100 * empty['value']:.2f} % of the generated, {100 * empty['floor']:.2f} % of the reference"
        yield Point("bad" if empty["value"] > 0.01 else "note", "empty", f"showers without any energy: {shares}")
    if not found and is_available(entries.get("within")):
        yield Point("good", "duplicates", "no more duplicates or near-duplicates than in the reference")


def always_zero(data: dict[str, Any]) -> Iterator[Point]:
    """Voxels that one side never fills."""
    entry = data.get("always_zero_voxels", {})
    if not is_available(entry):
        return
    for key, words, other in (
        ("only_generated", "are always empty in the generated showers", "reference"),
        ("only_reference", "are always empty in the reference, not in the generated showers", "generated"),
    ):
        found = entry.get(key, {})
        if not found.get("certain"):
            continue
        for layer in found["empty_layers"]:
            sample = "generated" if key == "only_generated" else "reference"
            yield Point("bad", "always_zero_voxels", f"layer {layer} has no energy in any {sample} shower")
        layers = ", ".join(f"{n} in layer {name}" for name, n in list(found["layers"].items())[:MOST])
        held = f"{share(found['energy_share'])} of the {other} energy lies there"
        bad = found["empty_layers"] or found["energy_share"] > 1e-3
        yield Point(
            "bad" if bad else "note",
            "always_zero_voxels",
            f"{count(found['certain'], 'voxel')} {words if found['certain'] != 1 else words.replace('are', 'is', 1)} "
            f"({layers}); {held}",
        )


def unavailable(data: dict[str, Any]) -> Iterator[Point]:
    """Metrics that could not be had, and spectra that had to be matched."""
    for key in ("fpd", "prdc", "response"):
        entry = data.get(key)
        if isinstance(entry, dict) and "unavailable" in entry and "left out" not in entry["unavailable"]:
            yield Point("note", "unavailable", f"{key}: {entry['unavailable']}")
    missing = [k for k, v in data.get("separation_power", {}).items() if not is_available(v)]
    if missing:
        reason = data["separation_power"][missing[0]]["unavailable"]
        yield Point("note", "unavailable", f"no separation power for {', '.join(missing[:MOST])}: {reason}")
    spectrum = data.get("spectrum", {})
    if spectrum.get("matched"):
        kept = f"{spectrum['generated_kept']} generated and {spectrum['reference_kept']} reference showers"
        yield Point("note", "spectrum", f"incident-energy spectra were matched, which left {kept}")
