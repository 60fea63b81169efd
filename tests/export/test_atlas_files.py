"""The files beside an export for FastCaloSim's slot of GANs, read by the loops of TFCSGANXMLParameters and
TFCSEnergyAndHitGANV2, rewritten."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from caloforge.errors import CaloforgeError
from caloforge.export.atlas import LIMITS, Atlas
from caloforge.export.card import card_path
from caloforge.export.formats import Target
from caloforge.export.graph import export_graph
from caloforge.geometry import Geometry, Layer, load_geometry
from export.test_conditions_in_graphs import HIGH, LOW, a_run, by_run
from export.test_consumers import ENERGY, NOISE, fastcalosim_voxels, two_layers


def binning_of(text: str, pid: int, eta_min: int) -> tuple[int, int, dict[int, tuple[list[float], int]]]:
    """Version, numbers of noise, and layer → (r edges, alpha bins) in the order of a std::map, for a slice of eta."""
    middle = eta_min + 2
    (particle,) = (node for node in ElementTree.fromstring(text).findall("Particle") if int(node.get("pid", "")) == pid)
    assert particle.get("symmetriseAlpha") == "false"
    (region,) = (b for b in particle.findall("Bin") if int(b.attrib["etaMin"]) < middle < int(b.attrib["etaMax"]))
    layers = {
        int(node.attrib["id"]): (
            [float(edge) for edge in node.attrib["r_edges"].split(",") if edge],
            int(node.attrib["n_bin_alpha"]),
        )
        for node in region.findall("Layer")
    }
    return int(region.attrib["ganVersion"]), int(particle.attrib["latentDim"]), dict(sorted(layers.items()))


def bins_of(form: Atlas) -> tuple[str, str]:
    """The XML and the snippet of an export called g.onnx."""
    files = form.companions(Path("g.onnx"))
    return files[Path("g.binning.xml")].decode(), files[Path("g.C")].decode()


@pytest.mark.parametrize(("pid", "eta_min"), [(22, 20), (11, 0), (211, 495)])
def test_fastcalosim_places_every_voxel_by_the_bins_beside_the_graph(pid: int, eta_min: int, tmp_path: Path) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="export needs the extra onnx")
    run, path = a_run(two_layers(), {}), tmp_path / "g.onnx"
    export_graph(run, "atlas", path, showers=4, settings={"limits": "trained"})
    assert json.loads(card_path(path).read_text())["other_files"] == ["g.binning.xml", "g.C"]
    version, numbers, layers = binning_of((tmp_path / "g.binning.xml").read_text(), pid, eta_min)
    noise = {f"variable_{k}": 0.5 + 0.5 * float(NOISE[0, k]) for k in range(numbers)}
    condition = {"variable_0": math.log(ENERGY / LOW) / math.log(HIGH / LOW)}
    if version >= 2:
        condition["variable_1"] = 0.0
    # Version 1 computes with a network that is not loaded for e and gamma.
    assert version != 1
    outputs = fastcalosim_voxels(path.read_bytes(), {"Noise": noise, "mycond": condition})
    expected = by_run(run, NOISE, ENERGY)[0]
    voxel = 0
    for number, (edges, n_alpha) in layers.items():
        (k,) = (k for k, layer in enumerate(run.geometry.layers) if layer.id == number)
        layer = run.geometry.layers[k]
        assert isinstance(layer, Layer)
        assert edges == list(layer.r_edges)
        shower = expected[run.geometry.slices[k]].reshape(layer.shape)
        for r in range(len(edges) - 1):
            for alpha in range(n_alpha):
                wanted = float(shower[alpha, r])
                assert outputs[str(voxel)] * ENERGY == pytest.approx(wanted, abs=1e-5 * ENERGY)
                voxel += 1
    assert voxel == len(outputs) == 14


@pytest.mark.parametrize(
    ("limits", "ending", "other"), [("low", "UltraLow12", "High12"), ("high", "High12", "UltraLow12")]
)
def test_the_snippet_sets_what_fastcalosim_needs(limits: str, ending: str, other: str) -> None:
    geometry = load_geometry("ds1-photons")
    xml, snippet = bins_of(Atlas(Target(geometry, 7, *LIMITS[limits])))
    _, numbers, layers = binning_of(xml, 22, 20)
    assert numbers == 7
    assert list(layers) == [0, 1, 2, 3, 12]
    assert sum((len(edges) - 1) * n_alpha for edges, n_alpha in layers.values()) == 368
    assert re.search(r"initializeNetwork\((.*?)\)", snippet)[1] == "pid, eta_min, folder"  # type: ignore[index]
    looped = re.search(r"for \(int layer : \{(.*?)\}\)", snippet)
    assert looped is not None
    assert [int(each) for each in looped[1].split(",")] == list(layers)
    copies = dict(re.findall(r"^//     (\S+) +(g\S+)$", snippet, re.MULTILINE))
    assert copies == {"binning.xml": "g.binning.xml", f"neural_net_PID_eta_MIN_MAX_{ending}.onnx": "g.onnx"}
    assert f"{other} is that of the other energies" in snippet
    assert snippet.count("{") == snippet.count("}")


def test_the_snippet_says_where_fastcalosim_has_no_such_limits() -> None:
    _, snippet = bins_of(Atlas(Target(load_geometry("ds1-photons"), 7, LOW, HIGH), limits="trained"))
    assert "(500 to 8000 MeV)" in snippet.splitlines()[0]
    assert "no such limits for e and gamma" in snippet
    assert "UltraLow12" not in snippet


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        ((Layer(3, (0, 1, 2), 4), Layer(1, (0, 1, 2), 4)), "layer 1 follows 3"),
        ((Layer(0, (0, 1, 2), 4), Layer(1, (0, 2), 4)), "one r bin, such as layer 1"),
        ((Layer(0, (0, 1, 2), 32),), "32 alpha bins .* layer 0"),
    ],
)
def test_layers_that_would_be_misplaced_are_refused(layers: tuple[Layer, ...], named: str) -> None:
    with pytest.raises(CaloforgeError, match=named):
        Atlas(Target(Geometry("g", layers, threshold=0.1), 3, LOW, HIGH), limits="trained")
