"""Public data sets: what they are, where they lie, and how to fetch them whole.

The catalogue holds the four data sets of the Fast Calorimeter Simulation Challenge 2022 (arXiv:2410.21611,
section 2). Each lies in a Zenodo record; the record's JSON, read when it is needed, tells size, checksum and
address of every file, so that no checksum is written down here and a record that moves is followed (a DOI
may name all versions and redirect to the newest).

A new data set is one more entry of `DATA_SETS`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

from caloforge.errors import CaloforgeError
from caloforge.files import prepare_parent
from caloforge.sources.public.http import (
    Progress,
    RemoteFile,
    check_space,
    download,
    is_here,
    new_session,
    read_json,
)

RECORDS_URL = "https://zenodo.org/api/records"
RECORDS_VARIABLE = "CALOFORGE_RECORDS_URL"
"""Environment variable that names another address for the records (a mirror)."""


_ALGORITHMS = {"md5", "sha1", "sha256", "sha512"}


@dataclass(frozen=True)
class DataSet:
    """One public data set.

    Args:
        name: how the command line calls it.
        particle: what enters the calorimeter.
        geometry: name of the built-in geometry of its showers.
        energies: its incident energies, in words.
        showers: number of showers in each file.
        doi: where it is published; the number at its end is the record's.
        train: names of the files to train on.
        reference: names of the files to judge against.
    """

    name: str
    particle: str
    geometry: str
    energies: str
    showers: int
    doi: str
    train: tuple[str, ...]
    reference: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all its files, those to train on first."""
        return self.train + self.reference

    @property
    def record(self) -> str:
        """The record's number."""
        return self.doi.rpartition(".")[2]

    @property
    def page(self) -> str:
        """Address for a browser."""
        return f"https://doi.org/{self.doi}"


_DS1_ENERGIES = "256 MeV x 2^k, k = 0 ... 14"
_DS23_ENERGIES = "log-uniform 1 GeV ... 1 TeV"

DATA_SETS: Mapping[str, DataSet] = {
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


def find(name: str) -> DataSet:
    """The data set called `name`.

    Raises:
        CaloforgeError: there is none.
    """
    if name not in DATA_SETS:
        raise CaloforgeError(f"no public data set '{name}'; there are {', '.join(DATA_SETS)}")
    return DATA_SETS[name]


def get(
    name: str,
    folder: str | os.PathLike[str],
    files: str = "all",
    records_url: str | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Fetch files of a public data set into `folder` and verify their checksums.

    Files that are there already, with the record's checksum, are not fetched again; half-finished ones go on.

    Args:
        name: of the data set, as in `DATA_SETS`.
        folder: where the files go; created if absent, once the record has answered.
        files: `train`, `reference`, `all`, or the name of one file of the record.
        records_url: address of the records; else the environment's CALOFORGE_RECORDS_URL, else Zenodo's.
        progress: told of bytes gained; its first call for a file tells what was here already.

    Returns:
        The paths of the files, in the data set's order.

    Raises:
        CaloforgeError: unknown name or file, no network, the server refuses, wrong checksum, another file of
            that name in `folder`, not enough space, or `folder` cannot be written to.
    """
    data_set = find(name)
    _check_name(data_set, files)
    folder = Path(folder)
    report = progress or (lambda file, done: None)
    with new_session() as session:
        chosen = _choose(data_set, _read_record(session, data_set, records_url), files)
        prepare_parent(folder / chosen[0].name)
        absent = [file for file in chosen if not is_here(file, folder)]
        check_space(absent, folder)
        for file in chosen:
            if file in absent:
                download(session, file, folder, report)
            else:
                report(file, file.size)
    return [folder / file.name for file in chosen]


def _read_record(session: requests.Session, data_set: DataSet, records_url: str | None) -> dict[str, RemoteFile]:
    base = records_url or os.environ.get(RECORDS_VARIABLE) or RECORDS_URL
    url = f"{base.rstrip('/')}/{data_set.record}"
    remedy = f"check the network and the proxy, or fetch the files by hand from {data_set.page}"
    content, address = read_json(session, url, remedy)
    try:
        described = [_described(entry, address) for entry in content["files"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CaloforgeError(f"the record {url} is not of the expected form: {error!r}") from None
    return {file.name: file for file in described}


def _described(entry: Any, address: str) -> RemoteFile:
    algorithm, _, digest = entry["checksum"].partition(":")
    if algorithm not in _ALGORITHMS:
        raise ValueError(f"unknown kind of checksum '{entry['checksum']}'")
    return RemoteFile(
        name=str(entry["key"]),
        size=int(entry["size"]),
        algorithm=algorithm,
        digest=digest.lower(),
        url=urljoin(address, entry["links"]["self"]),
    )


def _check_name(data_set: DataSet, files: str) -> None:
    """Refuse what cannot be in the record before anybody is asked; small companions of the showers are not listed."""
    known = [name for entry in DATA_SETS.values() if entry.doi == data_set.doi for name in entry.files]
    companion = Path(files).suffix not in ("", ".hdf5", ".h5")
    if files not in ("train", "reference", "all", *known) and not companion:
        raise CaloforgeError(
            f"no file '{files}' in {data_set.name}: give train, reference, all or one of {', '.join(known)}"
        )


def _choose(data_set: DataSet, record: dict[str, RemoteFile], files: str) -> list[RemoteFile]:
    roles = {"train": data_set.train, "reference": data_set.reference, "all": data_set.files}
    names = roles.get(files, (files,))
    for name in names:
        # A record is somebody else's text: a name in it must not lead out of the folder.
        if name not in record or Path(name).name != name:
            offered = ", ".join(sorted(record)) or "no files"
            raise CaloforgeError(
                f"no file '{name}' in the record of {data_set.name}; give train, reference, all or one of: {offered}"
            )
    return [record[name] for name in names]
