"""Geometry files: YAML, JSON, or the CaloChallenge's binning XML."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from caloforge.documents import read_document, read_text
from caloforge.errors import CaloforgeError
from caloforge.geometry.description import Geometry
from caloforge.geometry.layers import AnyLayer, Layer


def read_geometry(path: str | os.PathLike[str], particle: str | None = None) -> Geometry:
    """Read a geometry from a YAML or JSON file, or from the CaloChallenge's binning XML.

    Args:
        path: the file; its suffix gives the format (`.yaml`, `.yml`, `.json`, `.xml`).
        particle: for XML with several `Bin` elements, the `name` or `pid` of the one to read.

    Raises:
        CaloforgeError: the file does not exist, cannot be read, or is malformed.
    """
    path = Path(path)
    if path.suffix.lower() == ".xml":
        return _from_xml(read_text(path, "geometry file"), path, particle)
    return Geometry.from_dict(read_document(path, "geometry file"), origin=str(path))


def _from_xml(text: str, path: Path, particle: str | None) -> Geometry:
    """CaloChallenge binning: root `Bins`, one `Bin` per particle, one `Layer` per detector layer.

    A layer with a single edge has no voxels and is skipped.
    """
    if "<!DOCTYPE" in text:  # entities, which may expand without end
        raise CaloforgeError(f"{path}: a DOCTYPE declaration is not accepted; remove it")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise CaloforgeError(f"{path} is not valid XML: {error}") from None
    bins = root.findall("Bin")
    if root.tag != "Bins" or not bins:
        raise CaloforgeError(f"{path}: expected a root element 'Bins' with a 'Bin' per particle")
    names = [entry.get("name") or entry.get("pid") or "?" for entry in bins]
    if particle is not None:
        chosen = [entry for entry in bins if particle in (entry.get("name"), entry.get("pid"))]
    else:
        chosen = bins
    if len(chosen) != 1:
        known = ", ".join(names)
        what = f"no particle '{particle}'" if particle is not None and not chosen else f"{len(chosen)} particles"
        raise CaloforgeError(f"{path} has {what}: append ':NAME' to its path, with one of {known}")
    layers: list[AnyLayer] = []
    for element in chosen[0].findall("Layer"):
        try:
            layer_id = int(element.attrib["id"])
            edges = [float(edge) for edge in element.attrib["r_edges"].split(",")]
            n_alpha = int(element.get("n_bin_alpha", "1"))
        except KeyError as error:
            raise CaloforgeError(f"{path}: a 'Layer' has no attribute {error}") from None
        except ValueError as error:
            raise CaloforgeError(f"{path}: a 'Layer' has an invalid number: {error}") from None
        if len(edges) > 1:
            layers.append(Layer(layer_id, tuple(edges), n_alpha))
    name = chosen[0].get("name") or chosen[0].get("pid") or "xml"
    return Geometry(f"{path.stem}-{name}", tuple(layers))
