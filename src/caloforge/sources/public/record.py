"""Fetching a public data set: its record tells size, checksum and address of every file.

The record's JSON is read when it is needed, so that no checksum is written down in the catalogue and a record that
moves is followed (a DOI may name all versions and redirect to the newest).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

from caloforge.errors import CaloforgeError
from caloforge.files import prepare_parent
from caloforge.sources.public.catalog import DATA_SETS, DataSet, find
from caloforge.sources.public.http import (
    Received,
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


def get(
    name: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    files: str = "all",
    records_url: str | None = None,
    progress: Received | None = None,
) -> list[Path]:
    """Fetch files of a public data set into `folder` and verify their checksums.

    Files that are there already, with the record's checksum, are not fetched again; half-finished ones go on.

    Args:
        name: of the data set, as in `DATA_SETS`, or the path of a file that describes one.
        folder: where the files go; created if absent, once the record has answered.
        files: `train`, `reference`, `all`, or the name of one file of the record.
        records_url: address of the records; else the environment's CALOFORGE_RECORDS_URL, else the data set's own, else
            Zenodo's.
        progress: called as bytes arrive; its first call for a file tells how many were here already.

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
    base = records_url or os.environ.get(RECORDS_VARIABLE) or data_set.records_url or RECORDS_URL
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
    """Refuse a name that no record has before the network is used; small companions of the showers are not listed."""
    entries = (data_set, *DATA_SETS.values())
    known = list(dict.fromkeys(name for entry in entries if entry.doi == data_set.doi for name in entry.files))
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
