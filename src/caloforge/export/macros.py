"""Settings of the consumers next to an export: a macro of Geant4's Par04, a steering file of ddsim, FastCaloSim's C++.

Commands are those of Par04 in Geant4 11.4, properties those of DDML's plug-ins. The readout and inference meshes are
the run's, but the detector is the consumer's own: the files say what to replace.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from caloforge.export.formats import Target
from caloforge.geometry import Geometry, Layer

PAR04_DEPTH = 3.4
"""mm: depth of a cell in Par04's own settings (two layers of 1.4 mm W and 0.3 mm Si)."""

GAN_ENDINGS = {(2.0**6, 2.0**12): "UltraLow12", (2.0**12, 2.0**22): "High12"}
"""Limits in MeV → how FastCaloSim's file of a GAN for e and gamma ends."""


def par04_macro(target: Target, model: Literal["VAE", "CaloDiT-2"], graph: Path) -> str:
    """A macro that simulates 100 electrons of an energy in the middle of the training range with the exported graph."""
    layer = target.geometry.polar_mesh
    assert layer is not None
    size, depth = layer.r_edges[-1] / layer.n_r, _depth(target.geometry)
    energy = (target.low * target.high) ** 0.5
    cells = {"Rho": layer.n_r, "Phi": layer.n_alpha, "Z": target.geometry.n_layers}
    numbers = [(f"setNbOf{name}Cells", str(n)) for name, n in cells.items()]
    sizes = [("setSizeOfRhoCells", f"{size:.6g} mm"), ("setSizeOfZCells", f"{depth or PAR04_DEPTH:.6g} mm")]
    latent = [("setSizeLatentVector", str(target.latent_dim)), ("setSizeConditionVector", "4")]
    lines = [
        f"# {graph.stem}.mac: Geant4's example Par04 (11.4) with {graph.name}",
        "#",
        "# The detector below is Par04's own. Replace it with the detector of the run's training showers.",
        *(["# The run does not record the depth of its layers: check setSizeOfZCells."] if depth is None else []),
        "/process/had/verbose 0",
        "/Par04/detector/setDetectorInnerRadius 80 cm",
        "/Par04/detector/setDetectorLength 2 m",
        "/Par04/detector/setNbOfLayers 90",
        "/Par04/detector/setAbsorber 0 G4_W 1.4 mm true",
        "/Par04/detector/setAbsorber 1 G4_Si 0.3 mm true",
        *(f"/Par04/mesh/{command} {value}" for command, value in (*sizes, *numbers)),
        "",
        "/run/initialize",
        f"/gun/energy {energy / 1000:.6g} GeV",
        "/gun/position 0 0 0",
        "/gun/direction 0 1 0",
        "",
        *(f"/Par04/inference/{command} {value}" for command, value in (latent if model == "VAE" else [])),
        f"/Par04/inference/setModelPathName {graph.name}",
        f"/Par04/inference/setModelType {model}",
        "/Par04/inference/setProfileFlag 0",
        "/Par04/inference/setOptimizationFlag 1",
        "/Par04/inference/setInferenceLibrary ONNX",
        *(f"/Par04/inference/{command} {value}" for command, value in (*sizes, *numbers)),
        "",
        f"/analysis/setFileName {graph.stem}.root",
        "# The mesh follows the particle; this model must come first.",
        "/param/ActivateModel defineMesh",
        "/param/ActivateModel inferenceModel",
        "/run/beamOn 100",
    ]
    return "\n".join(lines) + "\n"


def _depth(geometry: Geometry) -> float | None:
    """Depth of a layer in mm; None if the geometry does not have it."""
    edges = geometry.layers[0].z_edges
    return None if edges is None else float(edges[1] - edges[0])


def binned_shower(layers: Sequence[Layer], graph: Path, binning: Path) -> str:
    """A function in C++ that makes FastCaloSim's parametrisation of an exported graph.

    Args:
        layers: in the order of the voxels.
        graph, binning: its files.
    """
    starts = [sum(layer.n_voxels for layer in layers[:k]) for k in range(len(layers) + 1)]
    boundaries, numbers = (", ".join(map(str, each)) for each in (starts, [layer.id for layer in layers]))
    return f"""// {graph.stem}.C: FastCaloSim's TFCSBinnedShowerONNX with {graph.name}
//
// FastCaloSim assumes 382 voxels in the layers 0, 1, 2, 3, 12, and TFCSBinnedShowerONNX has no function to change that.
// For this graph, add to its load_simulator, after the simulator has been loaded:
//     m_ai_simulator->setInputShapes({{{boundaries}}}, {{{numbers}}});
// Numbers of layers are those of the calorimeter's samplings. In Athena, the header is in ISF_FastCaloSimEvent.

#include <vector>

#include "FastCaloSim/Core/TFCSBinnedShowerONNX.h"

// The parametrisation, which the caller owns; nullptr where the graph cannot be loaded.
TFCSBinnedShowerONNX* binned_shower(const char* name = "{graph.stem}") {{
  std::vector<long unsigned int> layers = {{{numbers}}};
  auto* shower = new TFCSBinnedShowerONNX(name, name);
  if (!shower->load_simulator("{graph.name}")) {{
    delete shower;
    return nullptr;
  }}
  shower->load_meta_data("{binning.name}", layers);
  return shower;
}}
"""


def gan_binning(layers: Sequence[Layer], latent_dim: int) -> str:
    """FastCaloSim's `binning.xml`: the bins of the layers, for each particle that it looks up and for all eta.

    It looks up pions' bins for all hadrons. Version 0 is that of GANs with the energy as their only condition.
    """
    bins = ElementTree.Element("Bins")
    for pid in (11, 22, 211):
        particle = ElementTree.SubElement(
            bins, "Particle", pid=str(pid), latentDim=str(latent_dim), symmetriseAlpha="false"
        )
        region = ElementTree.SubElement(particle, "Bin", etaMin="0", etaMax="500", regionId="0", ganVersion="0")
        for layer in layers:
            edges = ",".join(f"{edge:.9g}" for edge in layer.r_edges)
            ElementTree.SubElement(region, "Layer", id=str(layer.id), r_edges=edges, n_bin_alpha=str(layer.n_alpha))
    ElementTree.indent(bins)
    return ElementTree.tostring(bins, encoding="unicode") + "\n"


def gan_shower(layers: Sequence[Layer], graph: Path, binning: Path, limits: tuple[float, float]) -> str:
    """A function in C++ that makes FastCaloSim's parametrisation of a folder with an exported graph.

    Args:
        layers: in the order of the voxels.
        graph, binning: its files.
        limits: E_min and E_max of the graph in MeV.
    """
    low, high = limits
    ending = GAN_ENDINGS.get(limits, "")
    if ending:
        other = next(each for each in GAN_ENDINGS.values() if each != ending)
        note = f"It loads two graphs: {other} is that of the other energies, of a run with as many numbers of noise."
    else:
        ending = "ENDING"
        note = (
            "FastCaloSim has no such limits for e and gamma, and would ask this graph for wrong energies. ENDING is\n"
            "// All for pions (2^8 to 2^22 MeV/c) and High10 for protons (2^10 to 2^22 MeV/c)."
        )
    network = f"neural_net_PID_eta_MIN_MAX_{ending}.onnx"
    numbers = ", ".join(str(layer.id) for layer in layers)
    return f"""// {graph.stem}.C: FastCaloSim's TFCSEnergyAndHitGANV2 with {graph.name} ({low:.10g} to {high:.10g} MeV)
//
// FastCaloSim finds files by their names. For a particle PID and |eta| from MIN/100 to MAX/100, MAX = MIN + 5, a folder
// has to hold copies of
//     {"binning.xml":<{len(network)}}  {binning.name}
//     {network}  {graph.name}
// and FastCaloSim's own histograms of that particle, which are opened without a check:
//     rootFiles/pidPID_E1048576_eta_MIN_MAX.root
//     rootFiles/pidPID_E65536_eta_MIN_MAX_validation.root
// {note}
// Numbers of layers are those of the calorimeter's samplings. In Athena, the headers are in ISF_FastCaloSimEvent.

#include <string>

#include "FastCaloSim/Core/TFCSCenterPositionCalculation.h"
#include "FastCaloSim/Core/TFCSEnergyAndHitGANV2.h"

// The parametrisation, which the caller owns and, outside Athena, gives its geometry (set_geometry); nullptr where a
// graph cannot be loaded. FastCaloSim throws std::invalid_argument where there is none.
TFCSEnergyAndHitGANV2* gan_shower(int pid, int eta_min, const std::string& folder, const char* name = "{graph.stem}") {{
  auto* shower = new TFCSEnergyAndHitGANV2(name, name);
  if (!shower->initializeNetwork(pid, eta_min, folder)) {{
    delete shower;
    return nullptr;
  }}
  for (int layer : {{{numbers}}}) {{
    const std::string title = "center" + std::to_string(layer);
    auto* center = new TFCSCenterPositionCalculation(title.c_str(), title.c_str());
    center->set_calosample(layer);
    center->setExtrapWeight(shower->get_ExtrapolationWeights().at(layer));
    center->set_pdgid(pid);
    if (pid == 11 || pid == 211) center->add_pdgid(-pid);
    center->set_eta_min(eta_min / 100.0);
    center->set_eta_max((eta_min + 5) / 100.0);
    center->set_eta_nominal((2 * eta_min + 5) / 200.0);
    shower->push_back_in_bin(center, layer);
    shower->set_nr_of_init(layer, 1);
  }}
  return shower;
}}
"""


def steering_path(playback: Path) -> Path:
    """Where the steering file of a playback file is."""
    return playback.with_name(f"{playback.stem}_steer.py")


def ddsim_steering(playback: Path, cells: tuple[int, int, int], cell_size: float, lowest: float, n: int) -> str:
    """A steering file for ddsim with DDML, which plays the showers back in the barrel of ILD.

    Args:
        playback: HDF5 file of the showers.
        cells: layers, and cells along y and x (DDML's NCellsZ, NCellsX, NCellsY).
        cell_size: in mm.
        lowest: lowest incident energy of the file in MeV, from which particles are replaced.
        n: showers in the file.
    """
    n_z, n_y, n_x = cells
    return f'''"""Plays {playback.name} back with ddsim and DDML:

    ddsim --steeringFile {steering_path(playback).name} --compactFile YOUR_DETECTOR.xml -N EVENTS

The file holds {n} showers, which have to cover every trigger: DDML does not start again at its end. Detector, region
and symmetry are those of the barrel of ILD.
"""

from DDSim.DD4hepSimulation import DD4hepSimulation

SIM = DD4hepSimulation()
SIM.physics.list = "QGSP_BERT"


def playback(kernel):
    # Inside the function: DDG4 has to be loaded when units are resolved.
    from DDG4 import DetectorConstruction, Geant4, PhysicsList
    from g4units import MeV

    particles = ["e-", "e+", "gamma"]
    model = DetectorConstruction(kernel, "LoadHDF5RegularGridTwoAngleBIBAEModelPolyhedraBarrel/Playback")
    model.RegionName = "EcalBarrelRegion"
    model.Detector = "EcalBarrel"
    model.Symmetry = 8
    model.Enable = True
    model.CorrectForAngles = False
    model.ApplicableParticles = set(particles)
    model.Etrigger = {{name: {lowest:.6g} * MeV for name in particles}}
    model.FilePath = "{playback.name}"
    # DDML counts cells along its X in our y, and the other way round.
    model.NCellsX, model.NCellsY, model.NCellsZ = {n_y}, {n_x}, {n_z}
    model.CellSizeX = model.CellSizeY = {cell_size:.7g}
    model.enableUI()
    Geant4(kernel).detectorConstruction().adopt(model)

    fast = PhysicsList(kernel, "Geant4FastPhysics/FastPhysicsList")
    fast.EnabledParticles = particles
    fast.enableUI()
    kernel.physicsList().adopt(fast)


SIM.physics.setupUserPhysics(playback)
'''
