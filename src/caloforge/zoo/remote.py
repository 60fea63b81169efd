"""Models in public records, such as Zenodo's: downloaded like the public data sets, with checksums, and installed."""

from __future__ import annotations

import re
from pathlib import Path

from caloforge.errors import CaloforgeError, option
from caloforge.sources.public.catalog import DOI
from caloforge.sources.public.http import Received, RemoteFile
from caloforge.sources.public.record import fetch
from caloforge.zoo.archive import SUFFIX, install
from caloforge.zoo.shelf import SHIPPED, downloads, models

PUBLISHED: dict[str, str] = {}
"""Name of a published model → DOI of its record, whose file is NAME.zip."""


def get(
    source: str,
    folder: Path | None = None,
    *,
    file: str | None = None,
    records_url: str | None = None,
    progress: Received | None = None,
    overwrite: bool = False,
) -> Path:
    """Install a model: from a public record, or from an archive that someone gave you.

    Args:
        source: name of a published model, DOI of a record, or an archive (`.zip`) on this machine.
        folder: of models; by default the one in which names are looked up (`downloads`).
        file: archive to take, of a record with several.
        records_url: address of the records, for a mirror.
        progress: called as bytes arrive.
        overwrite: replace a model of the same name.

    Returns:
        The folder of the model.

    Raises:
        CaloforgeError: there is no such model, record or archive, the download fails, the archive is not a packed
            model, or the model exists.
    """
    folder = downloads() if folder is None else folder
    if (SHIPPED / source).is_dir():
        raise CaloforgeError(f"the model '{source}' is part of the package: there is nothing to download")
    if source.endswith(SUFFIX):
        return install(source, folder, overwrite)
    doi = PUBLISHED.get(source, source)
    if not re.match(DOI, doi):
        known = ", ".join([*PUBLISHED, *models()])
        raise CaloforgeError(
            f"no model '{source}' to download: give the DOI of its record (10.5281/zenodo.1234567) or an archive "
            f"(.zip); models that are known: {known}"
        )
    wanted = f"{source}{SUFFIX}" if source in PUBLISHED else file
    archive = fetch(doi, folder, lambda record: [_chosen(record, wanted, doi)], records_url, progress)[0]
    path = install(archive, folder, overwrite)
    archive.unlink()
    return path


def _chosen(record: dict[str, RemoteFile], wanted: str | None, doi: str) -> RemoteFile:
    archives = [name for name in record if name.endswith(SUFFIX) and Path(name).name == name]
    if wanted is None and len(archives) == 1:
        return record[archives[0]]
    if wanted in archives:
        return record[wanted]
    if not archives:
        raise CaloforgeError(f"the record {doi} has no packed model; its files are {', '.join(sorted(record)) or '–'}")
    raise CaloforgeError(f"give {option('file')}, one of the archives of {doi}: {', '.join(archives)}")
