"""Download Geant4 data sets from Geant4's own site and verify the published MD5 checksums.

Interrupted downloads are resumed. A data set appears under its name only once its archive is complete, verified
and unpacked.
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
    """Download and unpack `data_sets` into `folder`, which is created if necessary.

    Args:
        data_sets: data sets to download; older copies in `folder` are replaced.
        folder: target, with one sub-folder per data set.
        progress: called with (archive name, bytes received, total bytes).
        site: base URL of the archives.

    Raises:
        CaloforgeError: the site does not answer, the checksum differs, the disk is full, or the archive does not
            contain the expected folder.
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
    """The archive, with its size from the site; the publisher lists checksums only."""
    url = f"{site}/{data_set.archive}"
    try:
        answer = session.head(url, allow_redirects=True, timeout=http.TIMEOUT)
        answer.raise_for_status()
        size = int(answer.headers["Content-Length"])
    except requests.RequestException as error:
        reason = " ".join(str(error).split())
        raise CaloforgeError(f"cannot reach {url}: {reason}; for other ways to get it see docs/geant4.md") from None
    except (KeyError, ValueError):
        raise CaloforgeError(f"{url} does not report its size; download it by hand, see docs/geant4.md") from None
    return http.RemoteFile(data_set.archive, size, "md5", data_set.md5, url)


def _unpack(archive: Path, folder: Path, data_set: Geant4DataSet) -> None:
    """Unpack `archive` in `folder`, move the data set to its final name, and delete the archive."""
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as scratch:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
        except (tarfile.TarError, OSError) as error:
            raise CaloforgeError(f"cannot unpack {archive}: {error}") from None
        unpacked, target = Path(scratch) / data_set.folder, folder / data_set.folder
        if not unpacked.is_dir():
            raise CaloforgeError(f"{archive} does not contain the folder {data_set.folder}")
        shutil.rmtree(target, ignore_errors=True)
        os.replace(unpacked, target)
    archive.unlink()
