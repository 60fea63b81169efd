"""Fetch Geant4's data sets from Geant4's own site, checked against the published MD5 checksums.

A broken download goes on where it stopped. Nothing appears under a data set's name before its archive has
arrived whole, its checksum agrees and it is unpacked.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import requests

from caloforge.errors import CaloforgeError
from caloforge.sources.geant4.datasets import Geant4DataSet
from caloforge.sources.public import http

SITE = "https://cern.ch/geant4-data/datasets"


def download(
    data_sets: Iterable[Geant4DataSet],
    folder: Path,
    progress: Callable[[str, int, int], None] | None = None,
    site: str = SITE,
) -> None:
    """Fetch and unpack `data_sets` into `folder`, which is created.

    Args:
        data_sets: which to fetch; an older copy of one in `folder` is replaced.
        folder: where each gets a sub-folder of its own name.
        progress: called with (archive's name, bytes received, bytes in all).
        site: address of the folder of archives.

    Raises:
        CaloforgeError: the site does not answer, the checksum differs, the disk is full, or the archive lacks its
            folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaloforgeError(f"cannot create the folder {folder}: {error.strerror}") from None

    def report(file: http.RemoteFile, received: int) -> None:
        if progress is not None:
            progress(file.name, received, file.size)

    with http.new_session() as session:
        files = [(d, _describe(session, d, site)) for d in data_sets]
        http.check_space([file for _, file in files], folder)
        for data_set, file in files:
            http.download(session, file, folder, report)
            _unpack(folder / file.name, folder, data_set)


def _describe(session: requests.Session, data_set: Geant4DataSet, site: str) -> http.RemoteFile:
    """The archive with the size that the site states: the publisher lists checksums, not sizes."""
    url = f"{site}/{data_set.archive}"
    try:
        answer = session.head(url, allow_redirects=True, timeout=http.TIMEOUT)
        answer.raise_for_status()
        size = int(answer.headers["Content-Length"])
    except requests.RequestException as error:
        reason = " ".join(str(error).split())
        raise CaloforgeError(f"cannot reach {url}: {reason}; fetch it elsewhere, see docs/geant4.md") from None
    except (KeyError, ValueError):
        raise CaloforgeError(f"{url} does not say how long it is; fetch it by hand, see docs/geant4.md") from None
    return http.RemoteFile(data_set.archive, size, "md5", data_set.md5, url)


def _unpack(archive: Path, folder: Path, data_set: Geant4DataSet) -> None:
    """Unpack `archive` beside its target, rename what is in it, and throw the archive away."""
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as scratch:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
        except (tarfile.TarError, OSError) as error:
            raise CaloforgeError(f"cannot unpack {archive}: {error}") from None
        unpacked, target = Path(scratch) / data_set.folder, folder / data_set.folder
        if not unpacked.is_dir():
            raise CaloforgeError(f"{archive} holds no folder {data_set.folder}")
        shutil.rmtree(target, ignore_errors=True)
        os.replace(unpacked, target)
    archive.unlink()
