"""Public data sets: their properties and where they are published.

`DATA_SETS` contains the four data sets of the Fast Calorimeter Simulation Challenge 2022 (arXiv:2410.21611, section 2).
To use another one, describe it in a YAML file and give its path instead of a name,

    name: my-photons
    particle: photon
    geometry: my-geometry.yaml        # built-in name, geometry file (next to this file), or a mapping as in one
    energies: log-uniform 1 GeV ... 100 GeV
    showers: 50000                    # per file
    doi: 10.5281/zenodo.1234567       # ends with the record number
    records_url: https://zenodo.org/api/records     # optional: another InvenioRDM server
    train: [train_1.h5]
    reference: [reference_1.h5]

or, from Python, `register(DataSet(...))`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from caloforge.documents import read_document
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, geometry_in_file
from caloforge.geometry.entries import Entry, checked_entry

DOI = r"^10\.\S+\D\d+$"
"""Pattern of a DOI that ends with the number of a record."""


def record_of(doi: str) -> str:
    """The number of a record, which ends its DOI."""
    return doi.rpartition(".")[2]


def page_of(doi: str) -> str:
    """Web address of a record."""
    return f"https://doi.org/{doi}"


class DataSet(Entry):
    """One public data set.

    Args:
        name: its name on the command line.
        particle: the incident particle.
        geometry: built-in name, path of a geometry file, or a mapping as in such a file.
        energies: description of the incident energies.
        showers: number of showers in each file, at least 1.
        doi: its DOI, which ends with the record number.
        train: names of the training files.
        reference: names of the files for evaluation.
        records_url: address of the publisher's records; None is Zenodo.
        folder: base folder of a relative geometry path.

    Raises:
        CaloforgeError: from `checked_entry` and `find`; pydantic's ValidationError from the constructor.
    """

    name: Annotated[str, Field(min_length=1)]
    particle: str
    geometry: str | dict[str, Any]
    energies: str
    showers: Annotated[int, Field(ge=1)]
    doi: Annotated[str, Field(pattern=DOI)]
    train: tuple[str, ...]
    reference: tuple[str, ...] = ()
    records_url: str | None = None
    folder: Annotated[Path, Field(exclude=True)] = Path()

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files, training files first."""
        return self.train + self.reference

    @property
    def page(self) -> str:
        """Web address."""
        return page_of(self.doi)

    def load_geometry(self) -> Geometry:
        """The geometry of the showers.

        Raises:
            CaloforgeError: the geometry is unknown or invalid.
        """
        return geometry_in_file(self.geometry, self.folder, f"data set '{self.name}': geometry")


_DS1_ENERGIES = "256 MeV x 2^k, k = 0 ... 14"
_DS23_ENERGIES = "log-uniform 1 GeV ... 1 TeV"

DATA_SETS: dict[str, DataSet] = {
    entry.name: entry
    for entry in (
        DataSet(
            name="ds1-photons",
            particle="photon",
            geometry="ds1-photons",
            energies=_DS1_ENERGIES,
            showers=121_000,
            doi="10.5281/zenodo.8099322",
            train=("dataset_1_photons_1.hdf5",),
            reference=("dataset_1_photons_2.hdf5",),
        ),
        DataSet(
            name="ds1-pions",
            particle="charged pion",
            geometry="ds1-pions",
            energies=_DS1_ENERGIES,
            showers=120_800,
            doi="10.5281/zenodo.8099322",
            train=("dataset_1_pions_1.hdf5",),
            reference=("dataset_1_pions_2.hdf5",),
        ),
        DataSet(
            name="ds2",
            particle="electron",
            geometry="ds2",
            energies=_DS23_ENERGIES,
            showers=100_000,
            doi="10.5281/zenodo.6366270",
            train=("dataset_2_1.hdf5",),
            reference=("dataset_2_2.hdf5",),
        ),
        DataSet(
            name="ds3",
            particle="electron",
            geometry="ds3",
            energies=_DS23_ENERGIES,
            showers=50_000,
            doi="10.5281/zenodo.6366323",
            train=("dataset_3_1.hdf5", "dataset_3_2.hdf5"),
            reference=("dataset_3_3.hdf5", "dataset_3_4.hdf5"),
        ),
    )
}
"""Data sets by name; see `register`."""


def register(data_set: DataSet) -> None:
    """Add a data set to the catalogue of this process.

    Raises:
        CaloforgeError: another data set has the same name.
    """
    if DATA_SETS.setdefault(data_set.name, data_set) != data_set:
        raise CaloforgeError(f"there is another data set '{data_set.name}'; choose a different name")


def find(name: str | os.PathLike[str]) -> DataSet:
    """The data set called `name`, or the one described in the file at that path.

    Raises:
        CaloforgeError: it is neither, a key of the file is unknown or missing, or a value is invalid.
    """
    text = os.fspath(name)
    if text in DATA_SETS:
        return DATA_SETS[text]
    path = Path(text)
    if path.suffix.lower() not in (".yaml", ".yml", ".json"):
        raise CaloforgeError(
            f"unknown data set '{text}': give one of {', '.join(DATA_SETS)}, or a .yaml file that describes one"
        )
    plain = read_document(path, "data-set file")
    if isinstance(plain, dict) and "folder" in plain:
        raise CaloforgeError(f"{path}: unknown key 'folder'")
    return checked_entry(DataSet, plain, text).model_copy(update={"folder": path.parent})
