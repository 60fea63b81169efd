"""Download from a public record, which lists the size, checksum and address of every file.

`get` downloads a data set of the catalogue, `fetch` files of any record. The record is read for each download: the
catalogue contains no checksums, and redirects are followed (a DOI may stand for all versions and redirect to the
newest).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

from caloforge.errors import CaloforgeError
from caloforge.files import prepare_parent
from caloforge.sources.public.catalog import DATA_SETS, DataSet, find, page_of, record_of
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
"""Environment variable for another address of the records (a mirror)."""

_ALGORITHMS = {"md5", "sha1", "sha256", "sha512"}


def get(
    name: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    files: str = "all",
    records_url: str | None = None,
    progress: Received | None = None,
) -> list[Path]:
    """Download files of a public data set into `folder` and verify their checksums.

    Files that are already there with the right checksum are not downloaded again; partial ones are resumed.

    Args:
        name: a name from `DATA_SETS`, or the path of a file that describes a data set.
        folder: target folder; created if it does not exist, once the record has been read.
        files: `train`, `reference`, `all`, or the name of a file in the record.
        records_url: address of the records; by default the environment variable CALOFORGE_RECORDS_URL, then the data
            set's own address, then Zenodo.
        progress: called as bytes arrive; the first call for a file gives the number of bytes already there.

    Returns:
        The paths of the files, in the data set's order.

    Raises:
        CaloforgeError: unknown name or file, no network, error from the server, wrong checksum, another file of
            that name in `folder`, not enough space, or `folder` is not writable.
    """
    data_set = find(name)
    _check_name(data_set, files)
    return fetch(
        data_set.doi,
        folder,
        lambda record: _choose(data_set, record, files),
        records_url,
        progress,
        own_url=data_set.records_url,
    )


def fetch(
    doi: str,
    folder: str | os.PathLike[str],
    choose: Callable[[dict[str, RemoteFile]], list[RemoteFile]],
    records_url: str | None = None,
    progress: Received | None = None,
    own_url: str | None = None,
) -> list[Path]:
    """Download files of a record into `folder` and verify their checksums.

    Args:
        doi: of the record; ends with its number.
        folder: target folder; created once the record has been read.
        choose: picks files of the record, by name.
        records_url, progress: as for `get`.
        own_url: address of the records where none is given.

    Raises:
        CaloforgeError: as for `get`.
    """
    folder = Path(folder)
    report = progress or (lambda file, done: None)
    with new_session() as session:
        chosen = choose(_read_record(session, doi, records_url, own_url))
        prepare_parent(folder / chosen[0].name)
        absent = [file for file in chosen if not is_here(file, folder)]
        check_space(absent, folder)
        for file in chosen:
            if file in absent:
                download(session, file, folder, report)
            else:
                report(file, file.size)
    return [folder / file.name for file in chosen]


def _read_record(
    session: requests.Session, doi: str, records_url: str | None, own_url: str | None
) -> dict[str, RemoteFile]:
    base = records_url or os.environ.get(RECORDS_VARIABLE) or own_url or RECORDS_URL
    url = f"{base.rstrip('/')}/{record_of(doi)}"
    remedy = f"check the network and the proxy, or download the files by hand from {page_of(doi)}"
    content, address = read_json(session, url, remedy)
    try:
        described = [_described(entry, address) for entry in content["files"]]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CaloforgeError(f"the record {url} does not have the expected format: {error!r}") from None
    return {file.name: file for file in described}


def _described(entry: Any, address: str) -> RemoteFile:
    algorithm, _, digest = entry["checksum"].partition(":")
    if algorithm not in _ALGORITHMS:
        raise ValueError(f"unknown checksum type '{entry['checksum']}'")
    return RemoteFile(
        name=str(entry["key"]),
        size=int(entry["size"]),
        algorithm=algorithm,
        digest=digest.lower(),
        url=urljoin(address, entry["links"]["self"]),
    )


def _check_name(data_set: DataSet, files: str) -> None:
    """Reject an unknown file name before using the network; files other than showers are not in the catalogue."""
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
        # Records are external input: a name must not point outside the folder.
        if name not in record or Path(name).name != name:
            offered = ", ".join(sorted(record)) or "no files"
            raise CaloforgeError(
                f"no file '{name}' in the record of {data_set.name}; give train, reference, all or one of: {offered}"
            )
    return [record[name] for name in names]
