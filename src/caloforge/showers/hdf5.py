"""HDF5 files of unknown origin, and disks that fill up: every failure is one error with its cause and a remedy.

`open_hdf5`, `dataset` and `reading` turn whatever h5py raises into a `CaloforgeError`: a lock, a missing link target, a
missing source of a virtual dataset, a missing filter, damage. `created` writes through Python, because the HDF5 library
crashes at exit when a write of its own has failed.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from caloforge.errors import CaloforgeError
from caloforge.files import real
from caloforge.showers.hdf5_damage import has_damaged_texts, has_short_chunk

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
"""Errors of file systems that cannot lock a file, as NFS and Lustre may be mounted."""

UNLOCKED = "set the environment variable HDF5_USE_FILE_LOCKING=FALSE"

FILTERS = {
    1: "gzip",
    4: "szip",
    307: "bzip2",
    32000: "lzf",
    32001: "Blosc",
    32004: "LZ4",
    32008: "bitshuffle",
    32013: "ZFP",
    32015: "Zstandard",
    32026: "Blosc2",
}
"""Registered numbers of compression filters (portal.hdfgroup.org)."""

LARGE, MOST_COMPRESSED = 1_000_000_000, 100_000
"""A dataset of more bytes than the first is not believed where it is stored in less than one byte per the second."""


def reject(path: Path, reason: str) -> CaloforgeError:
    """An error about the file at `path`."""
    return CaloforgeError(f"{path}: {reason}")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever h5py raises inside the block into one error.

    Raises:
        CaloforgeError: the block raised anything but an interruption; names the cause, and a remedy.
    """
    try:
        yield
    except CaloforgeError:
        raise
    except MemoryError:
        raise reject(path, "does not fit into memory, or is damaged") from None
    except Exception as error:
        raise reject(path, _cause(error, path)) from None


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading.

    Raises:
        CaloforgeError: there is none, or it cannot be opened; says why.
    """
    if path.is_dir():
        raise reject(path, "is a folder; expected an HDF5 file")
    if not path.exists():
        target = f": it is a link to {os.readlink(path)}, which does not exist" if path.is_symlink() else ""
        raise reject(path, f"no such file{target}")
    if not path.is_file():
        raise reject(path, "is a device or a pipe; showers are read from a file, not in one pass")
    try:
        with path.open("rb") as raw:
            raw.read(1)
    except OSError as error:
        raise reject(path, f"cannot be read: {error.strerror}") from None
    with reading(path):
        if not h5py.is_hdf5(path):
            raise reject(path, "not an HDF5 file")
        if has_damaged_texts(path):
            raise reject(path, "its table of texts is damaged; fetch or make the file again")
        return h5py.File(path, "r")


def dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    """A dataset of numbers that can be read: its link, sources and filters are there.

    Raises:
        CaloforgeError: something is missing, or it is not a dataset of numbers.
    """
    with reading(path):
        entry = _resolved(file, name, path)
        if not isinstance(entry, h5py.Dataset):
            raise reject(path, f"'{name}' is a group; expected a dataset")
        if entry.dtype.kind not in "fiu":
            raise reject(path, f"'{name}' has the type {entry.dtype}; expected numbers")
        _check_filters(entry, name, path)
        _check_sources(entry, name, path)
        if has_short_chunk(entry):
            raise reject(path, f"'{name}' has a chunk without its checksum, the file is damaged; fetch it again")
        if not entry.is_virtual and not entry.external:
            stored, claimed = entry.id.get_storage_size(), math.prod(entry.shape) * entry.dtype.itemsize
            if claimed > max(LARGE, MOST_COMPRESSED * stored):
                raise reject(path, f"'{name}' claims the shape {entry.shape}, but {stored} bytes of it are stored")
        return entry


def has(file: h5py.File, name: str, path: Path) -> bool:
    """Whether the file has an entry of this name, be it a link that leads nowhere."""
    with reading(path):
        return file.get(name, getlink=True) is not None


@contextmanager
def created(path: Path) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """A new HDF5 file, and a function that raises as soon as a write has failed; the end of the block calls it too.

    Raises:
        OSError: a write has failed.
    """
    with _Output(path) as output:
        try:
            with h5py.File(output, "w") as file:
                yield file, output.check
        except Exception:
            output.check()  # what went wrong first
            raise
        output.check()


class _Output:
    """A file for h5py to write to, which keeps the first failure and then swallows what is written."""

    def __init__(self, path: Path) -> None:
        self.failure: OSError | None = None
        self._file = path.open("w+b", buffering=0)

    def __enter__(self) -> _Output:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while self.failure is None and done < len(view):
            try:
                done += self._file.write(view[done:])
            except OSError as error:
                self.failure = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        if self.failure is None:
            try:
                return self._file.truncate(size)
            except OSError as error:
                self.failure = error
        return size or 0

    def flush(self) -> None:
        """Nothing is buffered."""


# ---- causes ---------------------------------------------------------------------------------------------------------


def _cause(error: Exception, path: Path) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number in NO_LOCKS:
        return f"its file system has no file locks: {UNLOCKED}"
    if isinstance(error, BlockingIOError):
        return f"another process has it open for writing: wait for that to end (if none has, {UNLOCKED})"
    if number is not None:
        return f"cannot be read: {os.strerror(number)}"
    if _left_open(path):
        return "is open for writing in another process, or one was killed while writing it (h5clear -s may repair it)"
    if _is_truncated(path):
        return "is truncated; fetch or make it again"
    words = " ".join(str(error).split())
    return f"data cannot be read, the file is damaged ({type(error).__name__}: {words:.200}); fetch or make it again"


def _superblock(path: Path) -> bytes:
    """The first bytes of a file whose superblock lies at its beginning, as nearly always; else nothing."""
    with contextlib.suppress(OSError), path.open("rb") as raw:
        head = raw.read(64)
        if len(head) == 64 and head[:8] == b"\x89HDF\r\n\x1a\n":
            return head
    return b""


def _left_open(path: Path) -> bool:
    head = _superblock(path)
    return bool(head) and head[8] == 3 and bool(head[11] & 1)


def _is_truncated(path: Path) -> bool:
    """Whether the file is shorter than its superblock says (HDF5 File Format Specification, II.A)."""
    head = _superblock(path)
    position = {0: 40, 1: 44, 2: 28, 3: 28}.get(head[8] if head else -1)
    if position is None or head[13 if head[8] < 2 else 9] != 8:  # other than 8 bytes to an address
        return False
    return path.stat().st_size < int.from_bytes(head[position : position + 8], "little")


def _resolved(file: h5py.File, name: str, path: Path) -> Any:
    link = file.get(name, getlink=True)
    if link is None:
        raise reject(path, f"has no dataset '{name}'")
    if isinstance(link, h5py.HardLink):
        return file[name]
    target = f"{link.filename}:{link.path}" if isinstance(link, h5py.ExternalLink) else link.path
    try:
        return file[name]
    except Exception:
        raise reject(path, f"'{name}' is a link to '{target}', which cannot be opened; put it there") from None


def _check_filters(entry: h5py.Dataset, name: str, path: Path) -> None:
    created_with = entry.id.get_create_plist()
    for k in range(created_with.get_nfilters()):
        code, _, _, words = created_with.get_filter(k)
        if not h5py.h5z.filter_avail(code):
            with contextlib.suppress(ImportError):
                importlib.import_module("hdf5plugin")  # registers its filters
        if not h5py.h5z.filter_avail(code):
            what = FILTERS.get(code) or words.decode("utf-8", "replace") or "an unknown filter"
            raise reject(
                path,
                f"'{name}' is compressed with {what} (HDF5 filter {code}), which is not installed: "
                "pip install hdf5plugin, or repack the file with gzip",
            )


def _check_sources(entry: h5py.Dataset, name: str, path: Path) -> None:
    """HDF5 itself reads zeros, or fails obscurely, where a part of a dataset lies in a file that is absent."""
    for raw, _, _ in entry.external or ():
        if not (path.parent / raw).exists() and not Path(raw).exists():
            raise reject(path, f"'{name}' lies in the file '{raw}', which does not exist; put it there")
    if not entry.is_virtual:
        return
    for source in dict.fromkeys((s.file_name, s.dset_name) for s in entry.virtual_sources()):
        file_name, inner = source
        if "%b" in file_name or "%b" in inner:  # a series of any number of sources
            continue
        if file_name == ".":
            _check_source(entry.file, inner, name, path)
            continue
        found = next((place for place in _places(file_name, path) if place.exists()), None)
        if found is None:
            raise reject(path, f"'{name}' takes showers from '{file_name}', which does not exist; put it there")
        with open_hdf5(found) as other:
            _check_source(other, inner, name, path)


def _check_source(file: h5py.File, inner: str, name: str, path: Path) -> None:
    try:
        found = file[inner]
    except Exception:
        raise reject(path, f"'{name}' takes showers from {file.filename}:{inner}, which cannot be opened") from None
    _check_filters(found, name, path)


def _places(file_name: str, path: Path) -> Iterator[Path]:
    """Where HDF5 looks for the file of a virtual dataset's source."""
    for prefix in filter(None, os.environ.get("HDF5_VDS_PREFIX", "").split(":")):
        yield Path(prefix.replace("${ORIGIN}", str(real(path).parent))) / file_name
    yield path.parent / file_name  # an absolute name stays as it is
    yield real(path).parent / file_name
    yield Path(file_name)
    yield path.parent / Path(file_name).name
