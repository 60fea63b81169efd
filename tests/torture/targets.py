"""What is fuzzed: for each kind of file good examples, and what the commands do when they read one."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from mutations import OF_BYTES, OF_TEXT, Mutation

from caloforge.errors import CaloforgeWarning
from caloforge.evaluation.evaluate import evaluate
from caloforge.evaluation.report.compare import comparison_tables, load_reports, remarks
from caloforge.evaluation.report.report import Report
from caloforge.evaluation.report.saving import write_records
from caloforge.geometry import Geometry, Layer, load_geometry, read_geometry
from caloforge.locations import RECIPES
from caloforge.models.caloman import CaloMan
from caloforge.models.flow_matching import FlowMatching
from caloforge.showers import ShowerFile, Showers
from caloforge.simulator import Simulator
from caloforge.sources.geant4.detector import SHIPPED, load_detector
from caloforge.sources.geant4.journal import Journal, encode
from caloforge.sources.public.catalog import find
from caloforge.training import TrainingSettings, fit
from caloforge.training.recipe import load_recipe
from caloforge.transforms import build_transforms

GEOMETRY = Geometry("small", (Layer(0, (0, 5, 10, 30)), Layer(1, (0, 10, 40), 4), Layer(7, (0, 50, 100))), 0.5)


@dataclass(frozen=True)
class Target:
    """One kind of file.

    Args:
        name: of the kind.
        mutations: what may happen to it.
        prepare: writes good examples into a folder; each is a file, read by name.
        read: reads one, as the commands do; its siblings in the folder are intact.
    """

    name: str
    mutations: tuple[Mutation, ...]
    prepare: Callable[[Path], Sequence[Path]]
    read: Callable[[Path], object]


def showers(n: int = 40, seed: int = 5) -> Showers:
    rng = np.random.default_rng(seed)
    energies = np.resize([100.0, 200.0, 400.0], n)
    voxels = rng.dirichlet(np.full(GEOMETRY.n_voxels, 2.0), n) * energies[:, None]
    return Showers(energies, voxels, GEOMETRY, {"source": "made up", "seed": seed})


# ---- HDF5 -----------------------------------------------------------------------------------------------------------


def _hdf5_examples(folder: Path) -> list[Path]:
    made = showers()
    made.write(folder / "gzip.h5")
    for name, libver in (("plain.h5", "earliest"), ("latest.h5", "latest")):
        with h5py.File(folder / name, "w", libver=libver) as file:
            file["showers"], file["incident_energies"] = made.voxels, made.energies[:, None]
            file.attrs["geometry"] = json.dumps(GEOMETRY.to_dict())
            file.attrs.update({"grid": np.arange(4.0), "complex": 1j, "names": ["a", "b"], "empty": h5py.Empty("f4")})
    angles = np.linspace(0, 1, len(made))
    Showers(made.energies, made.voxels, GEOMETRY, {}, {"theta": angles, "pdg": 11}).write(folder / "angles.h5")
    with h5py.File(folder / "checked.h5", "w") as file:
        how = {"chunks": (7, 5), "compression": "lzf", "shuffle": True, "fletcher32": True}
        file.create_dataset("showers", data=made.voxels.astype(">f8"), **how)
        file["energies"] = made.energies.astype("f2")
        file["incident_energies"] = h5py.SoftLink("/energies")
        file.attrs["geometry"] = json.dumps(GEOMETRY.to_dict())
    with h5py.File(folder / "calogan.h5", "w") as file:
        file["energy"] = np.full((3, 1), 5.0)
        for k, shape in enumerate(((3, 96), (12, 12), (12, 6))):
            file.create_dataset(f"layer_{k}", data=np.ones((3, *shape), "f4"), compression="gzip")
    return sorted(folder.glob("*.h5"))


def _read_hdf5(path: Path) -> None:
    with ShowerFile(path) as file:
        json.dumps(file.attributes)
        file.energies()
        file.conditions()
        file.column("geant4_cpu_seconds")
        for _ in file.chunks(16):
            pass


# ---- texts ----------------------------------------------------------------------------------------------------------


def _yaml_examples(folder: Path) -> list[Path]:
    for path in sorted(RECIPES[1].glob("*.yaml"))[::3]:
        shutil.copy(path, folder / f"recipe-{path.name}")
    for path in SHIPPED.glob("*.yaml"):
        shutil.copy(path, folder / f"detector-{path.name}")
    (folder / "geometry-a.yaml").write_text(
        "name: toy\nthreshold: 0.5\nlayers:\n  - {id: 0, r_edges: [0, 5, 1e1], n_alpha: 8, z_edges: [0, 3]}\n"
        "  - id: 1\n    phi_edges: [0, 1, 2]\n    eta_edges: [-1.5, 0, 1.5]\n"
    )
    (folder / "data-a.yaml").write_text(
        "name: my-photons\nparticle: photon\ngeometry: ds1-photons\nenergies: log-uniform\nshowers: 50000\n"
        "doi: 10.5281/zenodo.1234567\ntrain: [train_1.h5]\nreference: [reference_1.h5]\n"
    )
    return sorted(folder.glob("*.yaml"))


def _read_yaml(path: Path) -> None:
    match path.name.partition("-")[0]:
        case "recipe":
            load_recipe(path).to_yaml()
        case "detector":
            load_detector(str(path))
        case "geometry":
            read_geometry(path).to_dict()
        case _:
            find(path).load_geometry()


def _xml_examples(folder: Path) -> list[Path]:
    layers = '<Layer id="0" r_edges="0,5,10,30" n_bin_alpha="1"/><Layer id="1" r_edges="0,10.5,40" n_bin_alpha="10"/>'
    bins = f'<Bin pid="22" etaMin="0" name="photon">\n{layers}\n<Layer id="2" r_edges="0"/></Bin>'
    (folder / "one.xml").write_text(f'<?xml version="1.0"?>\n<Bins>\n{bins}\n</Bins>\n')
    (folder / "two.xml").write_text(f"<Bins>\n{bins}\n{bins.replace('photon', 'pion').replace('22', '211')}\n</Bins>")
    return [folder / "one.xml", folder / "two.xml"]


def _json_examples(folder: Path) -> list[Path]:
    report, run = folder / "report", folder / "run"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = evaluate(showers(60), showers(50), quick=True)
    report.mkdir()
    write_records(found, found.verdict.plain(), report)
    simulator().save(run)
    (folder / "geometry.json").write_text(json.dumps(GEOMETRY.to_dict()))
    return [report / "report.json", report / "charts.json", run / "simulator.json", folder / "geometry.json"]


def _read_json(path: Path) -> None:
    match path.name:
        case "simulator.json":
            Simulator.load(path.parent).generate(np.array([200.0, 300.0]), 1)
        case "geometry.json":
            read_geometry(path).to_dict()
        case _:
            entries = load_reports([path.parent])
            remarks(entries)
            comparison_tables(entries)
            found = Report.load(path.parent)
            assert found.verdict.headline


# ---- runs -----------------------------------------------------------------------------------------------------------


def simulator() -> Simulator:
    torch.manual_seed(0)
    chain = [{"kind": "readout_threshold"}, {"kind": "incident_energy_fraction"}, {"kind": "linear_condition"}]
    made = showers()
    x, c = torch.from_numpy(made.voxels), torch.from_numpy(made.energies).float()[:, None]
    transforms = build_transforms(chain, GEOMETRY).fit(x, c)
    return Simulator(GEOMETRY, transforms, CaloMan(13, 1, latent_dim=3, hidden=[8], flow_layers=2), {"recipe": "tiny"})


def _run_examples(folder: Path) -> list[Path]:
    simulator().save(folder)
    return [folder / "weights.safetensors"]


def _read_run(path: Path) -> None:
    """With the hash of the damaged weights, as somebody would write it who means harm."""
    description = json.loads((path.parent / "simulator.json").read_text())
    description["weights_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (path.parent / "simulator.json").write_text(json.dumps(description))
    Simulator.load(path.parent)


def _training(checkpoint: Path, resume: bool, epochs: int) -> None:
    torch.manual_seed(0)
    x, c = torch.randn(32, 3), torch.rand(32, 1)
    settings = TrainingSettings(epochs=epochs, batch_size=32, learning_rate=1e-3, device="cpu")
    fit(FlowMatching(3, 1, width=8, blocks=1), (x, c), (x, c), settings, checkpoint=checkpoint, resume=resume)


def _checkpoint_examples(folder: Path) -> list[Path]:
    _training(folder / "checkpoint.pt", resume=False, epochs=1)
    return [folder / "checkpoint.pt"]


JOURNAL = {"n": 40, "geometry": GEOMETRY.to_dict(), "seed": 1}


def _journal_examples(folder: Path) -> list[Path]:
    made = showers()
    with Journal(folder / "a.h5.partial", JOURNAL, 40) as journal:
        for start in range(0, 40, 8):
            journal.append(start, 8, encode(made.voxels[start : start + 8], np.ones(8)))
    return [folder / "a.h5.partial"]


def _read_journal(path: Path) -> None:
    with Journal(path, JOURNAL, 40) as journal:
        for _, voxels, cpu_seconds in journal.blocks():
            assert len(voxels) == len(cpu_seconds)


TARGETS = {
    target.name: target
    for target in (
        Target("HDF5", OF_BYTES, _hdf5_examples, _read_hdf5),
        Target("YAML", OF_TEXT, _yaml_examples, _read_yaml),
        Target("XML", OF_TEXT, _xml_examples, lambda path: load_geometry(f"{path}:photon")),
        Target("JSON", OF_TEXT, _json_examples, _read_json),
        Target("safetensors", OF_BYTES, _run_examples, _read_run),
        Target("checkpoints", OF_BYTES, _checkpoint_examples, lambda path: _training(path, resume=True, epochs=2)),
        Target("journals", OF_BYTES, _journal_examples, _read_journal),
    )
}


@contextmanager
def quiet() -> Iterator[None]:
    """Notes about doubtful showers are no findings; other warnings are errors."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", CaloforgeWarning)
        yield
