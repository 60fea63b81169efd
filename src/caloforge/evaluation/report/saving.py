"""A report as JSON: `report.json` has what was compared, verdict, sections and metrics; `charts.json` the figure data.

`report.json` (format 2) has one metric per line: section, name, label, value, error, baseline, … pull. Keys without a
value are left out. NaN and infinity, which JSON lacks, become null; an infinite pull has `pull_word`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import hist
import numpy as np
from pydantic import TypeAdapter

from caloforge.documents import parse_json
from caloforge.errors import CaloforgeError, either
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Chart, Metric, Section
from caloforge.evaluation.report.about import About, BaselineSample, Sample, Spectrum
from caloforge.evaluation.report.records import Records
from caloforge.files import write_text
from caloforge.geometry import Geometry

FORMAT = 2
"""Of `report.json`. Reports of format 1 do not name it (see `legacy`)."""

CERTAIN = "infinite: the values differ and neither has an error"
"""`pull_word` of a pull that is not a number."""

SAMPLES = ("generated", "reference")

Record = TypeVar("Record")


def write_records(records: Records, verdict: Mapping[str, Any], folder: Path) -> None:
    """Write `report.json` and `charts.json` into an existing folder."""
    from caloforge import __version__

    head = {"format": FORMAT, "caloforge_version": records.about.caloforge_version or __version__}
    sections = [plain(asdict(section)) for section in records.sections.values()]
    metrics = [metric_to_plain(metric) for metric in records.metrics]
    document = head | {
        "about": _about_to_plain(records.about),
        "verdict": plain(verdict),
        "sections": sections,
        "metrics": metrics,
    }
    write_text(folder / "report.json", _lines(document))
    hists = {name: hist_to_plain(each) for name, each in records.hists.items()}
    charts = [plain(vars(chart)) for chart in records.charts]
    write_text(folder / "charts.json", _lines({"format": FORMAT, "charts": charts, "hists": hists}))


def read_json(path: str | os.PathLike[str]) -> tuple[Path, dict[str, Any]]:
    """The file `report.json` of a report's folder (or that file itself), and what is in it.

    Raises:
        CaloforgeError: there is none, or it does not hold a JSON object.
    """
    file = Path(path)
    file = file / "report.json" if file.is_dir() else file
    wanted = "give the folder of a report, or its report.json"
    if not file.exists():
        raise CaloforgeError(f"{file}: no such report; {either('caloforge evaluate writes', 'Report.save writes')} one")
    if not file.is_file():
        raise CaloforgeError(f"{file} is a device or a pipe, not a report; {wanted}")
    try:
        raw = file.read_bytes()
        if raw[:4] == b"\x89HDF":
            raise CaloforgeError(
                f"{file} holds showers, not a report: "
                + either(
                    f"evaluate it first (caloforge evaluate {file.name} --reference REFERENCE -o FOLDER), then give "
                    "FOLDER",
                    "evaluate it first and save the report, then give its folder",
                )
            )
        found = parse_json(raw, f"{file} is not a report of caloforge: it")
    except OSError as error:
        raise CaloforgeError(f"{file} cannot be read: {error.strerror}") from None
    if not isinstance(found, dict):
        raise CaloforgeError(f"{file} is not a report of caloforge (it holds no JSON object): {wanted}")
    return file, found


def records_from(document: Mapping[str, Any], charts: Mapping[str, Any], origin: str) -> Records:
    """The records of a `report.json` of format 2 and of the `charts.json` next to it (empty where there is none).

    Raises:
        CaloforgeError: an entry is missing or has another type.
    """
    try:
        return Records(
            about=_about_from(document["about"], origin),
            metrics=[_metric_from(each) for each in document["metrics"]],
            hists={str(name): _hist_from(each) for name, each in charts.get("hists", {}).items()},
            charts=[_checked(Chart, each) for each in charts.get("charts", [])],
            sections={each["name"]: _checked(Section, each) for each in document["sections"]},
        )
    except KeyError as error:
        raise CaloforgeError(f"{origin} is not a valid report: it lacks {error}") from None
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        reason = str(error).splitlines()
        raise CaloforgeError(f"{origin} is not a valid report: {' '.join(line.strip() for line in reason)}") from None


_ADAPTERS: dict[type, TypeAdapter[Any]] = {
    kind: TypeAdapter(kind) for kind in (Sample, BaselineSample, Spectrum, Estimate, Metric, Chart, Section)
}


def _checked(kind: type[Record], entry: Mapping[str, Any]) -> Record:
    """A record from its plain data, every type checked."""
    record: Record = _ADAPTERS[kind].validate_python(dict(entry))
    return record


def _about_to_plain(about: About) -> dict[str, Any]:
    geometry = None if about.geometry is None else about.geometry.to_dict()
    entry = {f.name: getattr(about, f.name) for f in fields(About)} | {"geometry": geometry}
    nested = {key: asdict(entry[key]) for key in ("generated", "reference", "baseline", "spectrum")}
    return dict(plain(entry | nested))


def _about_from(entry: Mapping[str, Any], origin: str) -> About:
    geometry = entry.get("geometry")
    kinds = {"generated": Sample, "reference": Sample, "baseline": BaselineSample, "spectrum": Spectrum}
    nested: dict[str, Any] = {key: _ADAPTERS[kind].validate_python(entry[key]) for key, kind in kinds.items()}
    read = Geometry.from_dict(geometry, f"{origin}: geometry") if geometry is not None else None
    return About(**{**entry, **nested, "geometry": read})


_NUMBERS = tuple(f.name for f in fields(Estimate))
_NAMES = ("section", "name", "label", "unit", "at", "direction")


def metric_to_plain(metric: Metric) -> dict[str, Any]:
    """A metric as one flat mapping: its names, its numbers with the pull, the reason where there are none, extras."""
    entry: dict[str, Any] = {key: getattr(metric, key) for key in _NAMES}
    if metric.estimate is not None:
        numbers = {key: getattr(metric.estimate, key) for key in _NUMBERS}
        entry |= numbers | {"smallest_error": numbers["smallest_error"] or None, "pull": metric.pull}
        if metric.pull is not None and math.isinf(metric.pull):
            entry["pull_word"] = CERTAIN
    entry |= {"reason": metric.reason, "extra": dict(metric.extra)}
    kept = {key: value for key, value in entry.items() if value not in (None, "", {}) or key in _NAMES[:3]}
    found: dict[str, Any] = plain(kept)
    return found


def _metric_from(entry: Mapping[str, Any]) -> Metric:
    names = {key: entry[key] for key in (*_NAMES, "reason", "extra") if key in entry}
    estimate = None
    if "value" in entry:
        numbers = {key: entry[key] for key in _NUMBERS if key in entry}
        value = math.nan if numbers["value"] is None else numbers["value"]
        estimate = _checked(Estimate, numbers | {"value": value})
    return _checked(Metric, names | {"estimate": estimate})


def hist_to_plain(histogram: hist.Hist[Any]) -> dict[str, Any]:
    """{name, label, edges (B + 1), generated, reference (B + 2 counts, below first), metadata}."""
    samples, axis = histogram.axes
    values = histogram.values(flow=True)
    counts = {label: values[samples.index(label)] for label in SAMPLES}
    metadata = vars(histogram).get("metadata") or {}  # as an attribute it warns where there is none
    words = {"name": axis.name, "label": axis.label, "metadata": metadata}
    found: dict[str, Any] = plain({**words, "edges": axis.edges, **counts})
    return found


def _hist_from(entry: Mapping[str, Any]) -> hist.Hist[Any]:
    edges = np.asarray(entry["edges"], dtype=np.float64)
    counts = np.array([entry[label] for label in SAMPLES])
    found: hist.Hist[Any] = hist.Hist(
        hist.axis.StrCategory(SAMPLES, overflow=False),
        hist.axis.Variable(edges, name=str(entry["name"]), label=str(entry["label"])),
        storage=hist.storage.Int64() if counts.dtype.kind == "i" else hist.storage.Double(),
        metadata=dict(entry["metadata"]),
    )
    found.view(flow=True)[...] = counts
    return found


def plain(value: Any) -> Any:
    """`value` as JSON knows it: numpy's as plain numbers and lists, NaN and infinity as None, anything else as text."""
    if isinstance(value, Mapping):
        return {_utf8(str(key)): plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic) and not isinstance(value, (np.str_, np.bytes_)):
        native = value.item()
        return _utf8(str(native)) if isinstance(native, np.generic) else plain(native)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(entry) for entry in value]
    return _utf8(str(value))


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _lines(document: Mapping[str, Any]) -> str:
    """`document` as JSON, indented to the entries of its lists and mappings, each of which takes one line."""
    parts = []
    for key, value in document.items():
        if key != "verdict" and isinstance(value, (dict, list)) and value:
            entries = value.items() if isinstance(value, dict) else ((None, each) for each in value)
            lines = [f"    {_json(k) + ': ' if k is not None else ''}{_json(each)}" for k, each in entries]
            opening, closing = "{}" if isinstance(value, dict) else "[]"
            parts.append(f"  {_json(key)}: {opening}\n" + ",\n".join(lines) + f"\n  {closing}")
        else:
            nested = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2).replace("\n", "\n  ")
            parts.append(f"  {_json(key)}: {nested}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
