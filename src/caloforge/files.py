"""Outputs that are either complete or absent.

A file or folder is written under a temporary name next to its target and renamed when complete, so that a crash or
Ctrl-C never leaves a partial result under the name that the user asked for. A process that is killed outright cannot
remove its temporary files; the next one that writes into the same folder does (`remove_leftovers`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from caloforge.errors import CaloforgeError, CannotWrite, either, option

LONGEST_NAME = 200
"""Bytes of a target's name that are part of its temporary name, which has more and may be of 255 at most."""

LEFTOVER = re.compile(r"\.(?P<target>.+)\.(?:(?P<host>[0-9a-f]{8})-)?(?P<pid>\d+)\.(?P<kind>part|old)")
"""Temporary names: `.TARGET.HOST-PID.part` while it is written, `.TARGET.HOST-PID.old` while it is replaced."""

STALE_SECONDS = 7 * 86_400.0
"""Leftovers of processes that cannot be looked up from here (another machine's) are removed at this age."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors of a full device or an exhausted quota."""

FAILED_WRITES = FULL | {errno.EFBIG, errno.EROFS}
"""Errors that only writing raises."""

_cleaned: set[Path] = set()
"""Folders in which this process has looked for leftovers."""


def as_path(value: object, what: str) -> Path:
    """`value` as a path.

    >>> as_path("run", "folder of a run").name
    'run'

    Args:
        value: text or a path.
        what: it names, for the error.

    Raises:
        CaloforgeError: `value` is neither.
    """
    if isinstance(value, str | os.PathLike):
        return Path(os.fsdecode(value))
    raise CaloforgeError(f"the {what} must be a path, not of type {type(value).__name__}")


def real(path: str | os.PathLike[str]) -> Path:
    """`path` without symbolic links, and absolute; of links that lead to themselves no error, but the path again."""
    return Path(os.path.realpath(path))


def prepare_parent(target: Path) -> None:
    """Create the folder that `target` goes into.

    Raises:
        CaloforgeError: the folder cannot be created or written to, or `target` is a folder, a device or a pipe.
    """
    if target.is_dir():
        raise CaloforgeError(f"{target} is a folder; give the path of a file to write")
    if target.exists() and not target.is_file():
        raise CaloforgeError(f"{target} is a device or a pipe; give the path of a file to write")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaloforgeError(f"cannot create the folder {target.parent}: {error.strerror}") from error
    folder = real(target).parent  # of what a symbolic link points to
    if folder.is_dir() and not os.access(folder, os.W_OK):
        raise CaloforgeError(f"cannot write to {folder}: permission denied")


KNOWN = {
    ".csv",
    ".h5",
    ".hdf5",
    ".html",
    ".json",
    ".npy",
    ".npz",
    ".onnx",
    ".pdf",
    ".png",
    ".root",
    ".txt",
    ".yaml",
    ".zip",
}
"""Suffixes that tell people what is in a file."""


def check_suffix(path: Path, *right: str) -> None:
    """Refuse a name that says something else than what is written; a suffix that says nothing is accepted.

    Args:
        path: file to write.
        right: its suffixes, the one to suggest first.

    Raises:
        CaloforgeError: the suffix is that of another format.
    """
    suffix = path.suffix.lower()
    if suffix in KNOWN and suffix not in right:
        raise CaloforgeError(f"{path}: the format is not {suffix[1:]}; name the file {path.with_suffix(right[0]).name}")


def written_elsewhere() -> str:
    """The remedy where an output exists."""
    return f"{either('give another output', 'give another path')} or {option('overwrite', True)}"


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Protect an existing file unless it may be overwritten; an existing folder is always refused.

    Raises:
        CaloforgeError: `path` exists.
    """
    if path.is_dir():
        raise CaloforgeError(f"{path} is a folder; give the path of a file to write")
    if path.exists() and not overwrite:
        raise CaloforgeError(f"{path} exists: {written_elsewhere()}")


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path next to `target`; rename it to `target` on success, remove it on failure.

    A symbolic link is kept, and the file that it points to is written.

    Raises:
        CaloforgeError: what `prepare_parent` raises; the folder of `target` cannot be written to; the disk is full.
    """
    target = Path(target)
    if target.is_symlink():
        target = real(target)
    prepare_parent(target)
    remove_leftovers(target.parent)
    partial = _temporary(target, "part")
    try:
        partial.touch()
    except OSError as error:
        raise CaloforgeError(f"cannot write to {target.parent}: {error.strerror}") from error
    try:
        with writing(target):
            yield partial
            os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder next to `target` that takes its place on success.

    An existing `target` is replaced as a whole, and only once the new folder is complete.

    Raises:
        CaloforgeError: `target` is a file, or no folder can be created next to it; the disk is full.
    """
    target = Path(target)
    if not target.name:  # ".", "/"
        raise CaloforgeError(f"{target} would be replaced as a whole: name a folder in it")
    if target.exists() and not target.is_dir():
        raise CaloforgeError(f"{target} is a file; give a folder to write into")
    remove_leftovers(target.parent)
    partial, previous = _temporary(target, "part"), _temporary(target, "old")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise CaloforgeError(f"cannot create a folder next to {target}: {error.strerror}") from error
    try:
        with writing(target):
            yield partial
            _replace_folder(partial, target, previous)
    except CannotWrite as error:  # of a file in it, whose name is to be that of the user's folder
        raise CannotWrite(str(error).replace(str(partial), str(target))) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(previous, ignore_errors=True)


def _replace_folder(partial: Path, target: Path, previous: Path) -> None:
    """Move `partial` to `target` and what is there to `previous`, even if other processes do the same meanwhile."""
    for last in [False] * 9 + [True]:
        shutil.rmtree(previous, ignore_errors=True)
        with suppress(FileNotFoundError):
            os.replace(target, previous)
        try:
            os.replace(partial, target)
            return
        except OSError as error:
            if last or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def open_alone(path: Path, busy: str) -> BinaryIO:
    """Open a file for reading and writing, created where there is none, which no other process has opened like this.

    The lock is of the open file: it ends with the process. Where the system has no such locks, the user is trusted.

    Args:
        path: the file.
        busy: end of the error message, as in "is being written by another process: wait for it, or stop it".

    Raises:
        CaloforgeError: another process has it.
        OSError: it cannot be opened.
    """
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            lock(file.fileno())
            # The process that had it before may have removed or renamed it.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except BlockingIOError:
            file.close()
            raise CaloforgeError(f"{path} {busy}") from None
        except BaseException:
            file.close()
            raise
        file.close()


def lock(handle: int) -> None:
    """Lock an open file or folder; where the system has no such locks, do nothing.

    Raises:
        BlockingIOError: another process has locked it.
    """
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except (ImportError, OSError):
        pass


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn a failed write inside the block into an error that names `target`.

    Raises:
        CannotWrite: the disk is full, the file too large, or the file system read-only.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FAILED_WRITES:
            raise cannot_write(target, error) from None
        raise


def cannot_write(target: Path, error: OSError) -> CannotWrite:
    """The error for an output that the system refuses."""
    reason = error.strerror or str(error)
    if error.errno in FULL:
        reason = "no space left on the device: free some, or write elsewhere (for temporary files, set TMPDIR)"
    elif error.errno == errno.EFBIG:
        reason = "it would be larger than files may be here: raise the limit (ulimit -f), or write smaller parts"
    return CannotWrite(f"cannot write {target}: {reason}")


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files in `folder` that processes which no longer run have left; once per process and folder.

    A process is known to have ended only on the machine (and since the start-up, and in the container) that it ran
    on. What others have left is removed once nothing in it has changed for `STALE_SECONDS`. A folder that was moved
    aside for its replacement, which then never came, is moved back.
    """
    folder = real(folder)
    if folder in _cleaned or os.name != "posix":
        return
    _cleaned.add(folder)
    try:
        found = [entry for entry in os.scandir(folder) if entry.name.startswith(".")]
    except OSError:
        return
    for entry in found:
        match = LEFTOVER.fullmatch(entry.name)
        if match is None or not _is_abandoned(Path(entry.path), match["host"], int(match["pid"])):
            continue
        target = folder / match["target"]
        with suppress(OSError):
            if match["kind"] == "old" and not target.exists():
                os.replace(entry.path, target)
            elif entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)


def _temporary(target: Path, kind: str) -> Path:
    name = os.fsdecode(os.fsencode(target.name)[:LONGEST_NAME])
    return target.with_name(f".{name}.{_host()}-{os.getpid()}.{kind}")


@cache
def _host() -> str:
    """Eight hexadecimal digits for what gives process numbers their meaning: machine, start-up, container."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _is_abandoned(path: Path, host: str | None, pid: int) -> bool:
    if host == _host():
        try:
            os.kill(pid, 0)  # sends nothing
        except (ProcessLookupError, OverflowError):
            return True
        except OSError:  # it runs, under another user
            return False
        return False
    return time.time() - _last_change(path) > STALE_SECONDS


def _last_change(path: Path) -> float:
    """When `path`, or anything in it, was last written (seconds since 1970); infinity where that cannot be told."""
    try:
        inside = path.rglob("*") if path.is_dir() else ()
        return max(float(entry.lstat().st_mtime) for entry in (path, *inside))
    except OSError:
        return float("inf")


def printable(text: str | bytes | os.PathLike[str]) -> str:
    """`text` as valid UTF-8 without NUL: other bytes, as in names of files, become `\\xNN`.

    For paths, command lines and attributes that are stored or shown; HDF5 and JSON accept nothing else.
    """
    given: str | bytes = text if isinstance(text, str | bytes) else os.fspath(text)
    try:
        raw = given.encode("utf-8", "surrogateescape") if isinstance(given, str) else given
    except UnicodeEncodeError:  # half of a surrogate pair
        raw = str(given).encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def write_text(target: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 to `target`, atomically; what has no UTF-8, as in names of files, is escaped."""
    with atomic_path(target) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(target: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON to `target`, atomically; NaN and infinity are refused."""
    write_text(target, json.dumps(value, indent=2, allow_nan=False) + "\n")
