"""HTTP download of one file, resumable and verified.

FILE is downloaded to `FILE.part` in the same folder. After an interruption the next request asks only for the
remaining bytes (`Range: bytes=N-`, RFC 9110 section 14): status 206 continues, 200 sends the whole file again,
and 416 means that N is beyond the end of the file, so the download restarts. If the download is abandoned, the
`.part` file is kept for a later call. Once complete, it is renamed to FILE if the checksum agrees.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import urlsplit

import requests

from caloforge import __version__
from caloforge.documents import parse_json
from caloforge.errors import CaloforgeError
from caloforge.files import open_alone

TIMEOUT = (15.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes on it."""
READ_TRIES = 3
"""Failed requests for a record before giving up; few, so that users without a network soon know."""
TRIES = 5
"""Consecutive failures without a byte received before giving up on a file."""
PAUSE = 1.0
"""Seconds before the second attempt; doubled before each further one."""
LONGEST_PAUSE = 60.0
CHUNK = 1 << 16
MOST_RECORD = 64_000_000
"""Bytes of a description; a longer one is refused."""
BUSY = {408, 425, 429, 500, 502, 503, 504}
"""HTTP status codes worth retrying."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as described by its publisher.

    Args:
        name: local file name, without a folder.
        size: bytes.
        algorithm: checksum algorithm by its hashlib name: `md5`, `sha256`, ...
        digest: the checksum in lower-case hexadecimal.
        url: download address.
    """

    name: str
    size: int
    algorithm: str
    digest: str
    url: str


Received = Callable[[RemoteFile, int], None]
"""Called with a file and the number of bytes received; the number drops when a download restarts."""


class _Passing(Exception):
    """A temporary failure: its reason, and the number of seconds the server asks us to wait."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def new_session() -> requests.Session:
    """A session with caloforge's user agent and without transfer compression."""
    session = requests.Session()
    session.headers["User-Agent"] = f"caloforge/{__version__}"
    # The length of a compressed transfer would differ from that of the file.
    session.headers["Accept-Encoding"] = "identity"
    return session


def read_json(session: requests.Session, url: str, remedy: str) -> tuple[Any, str]:
    """The JSON at `url`, and its address after redirects.

    Args:
        session: from `new_session`.
        url: the address.
        remedy: what the user can do if there is no answer; end of the error message.

    Raises:
        CaloforgeError: there is no network, the server returns an error, or the response is not JSON.
    """
    failures = 0
    while True:
        try:
            with _open(session, url) as response:
                return _body(response), response.url
        except _Passing as error:
            failures += 1
            if failures == READ_TRIES:
                raise CaloforgeError(f"cannot read {url}: {error}; {remedy}") from None
            _wait(failures, error)


def _body(response: requests.Response) -> Any:
    body = bytearray()
    try:
        for chunk in response.iter_content(CHUNK):
            body += chunk
            if len(body) > MOST_RECORD:
                raise CaloforgeError(f"the response from {response.url} does not end: check the address")
    except requests.RequestException as error:
        raise _Passing(_in_words(error, response.url)) from None
    try:
        return parse_json(bytes(body), f"the response from {response.url}")
    except CaloforgeError as error:
        raise CaloforgeError(f"{error}; check the address") from None


def _part(file: RemoteFile, folder: Path) -> Path:
    return folder / f"{file.name}.part"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def is_here(file: RemoteFile, folder: Path) -> bool:
    """Whether `folder` contains the complete `file`, with the right checksum.

    Raises:
        CaloforgeError: another file of that name is there (it may be the user's, so it is not replaced), or it
            cannot be read.
    """
    path = folder / file.name
    try:
        if not path.exists():
            return False
        if _is_whole(file, path):
            return True
    except OSError as error:
        raise CaloforgeError(f"cannot read {path}: {error.strerror}") from None
    raise CaloforgeError(
        f"{path} already exists but differs from the published file ({file.size} bytes, {file.algorithm} "
        f"{file.digest}): rename or remove it, or give another folder"
    )


def _is_whole(file: RemoteFile, path: Path) -> bool:
    return path.is_file() and _size(path) == file.size and _digest(path, file.algorithm) == file.digest


def check_space(files: Sequence[RemoteFile], folder: Path) -> None:
    """Check that there is space in `folder` for the missing bytes of `files`.

    Raises:
        CaloforgeError: there is not enough.
    """
    needed = sum(max(0, file.size - _size(_part(file, folder))) for file in files)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CaloforgeError(
            f"{folder} has {free / 1e6:,.0f} MB free and the download needs {needed / 1e6:,.0f} MB; "
            f"free some space, give another folder, or download fewer files"
        )


def download(session: requests.Session, file: RemoteFile, folder: Path, report: Received) -> None:
    """Download `file` into `folder`, resuming from its `.part` if there is one.

    Raises:
        CaloforgeError: there is no network, the server returns an error or a different file, `folder` is not
            writable, or another process downloads the file.
    """
    part = _part(file, folder)
    try:
        with open_alone(part, "is being downloaded by another process: wait for it, or stop it"):
            _download(session, file, folder, part, report)
    except OSError as error:
        raise CaloforgeError(f"cannot write {part}: {error.strerror}") from None


def _download(session: requests.Session, file: RemoteFile, folder: Path, part: Path, report: Received) -> None:
    """Download `file` by way of `part`, which is locked and therefore emptied rather than removed to begin again."""
    if _size(part) == 0 and _is_whole(file, folder / file.name):  # another process has just brought it
        part.unlink()
        report(file, file.size)
        return
    for last in (False, True):
        stitched = _fill(session, file, part, report)
        found = _digest(part, file.algorithm)
        if found == file.digest:
            os.replace(part, folder / file.name)
            return
        # Retry only a file stitched from several responses: they may come from different versions of it.
        if last or not stitched:
            part.unlink()
            raise CaloforgeError(
                f"{file.url} has {file.algorithm} checksum {found} instead of {file.digest}; the download "
                f"was discarded: try again, and if the error persists tell the publisher"
            )
        part.write_bytes(b"")


def _fill(session: requests.Session, file: RemoteFile, part: Path, report: Received) -> bool:
    """Download until `part` has the file's size; return whether it may come from more than one response."""
    if _size(part) > file.size:
        part.write_bytes(b"")
    held = best = _size(part)
    report(file, held)
    stitched, failures = held > 0, 0
    while held < file.size:
        try:
            _receive(session, file, part, held, report)
        except _Passing as error:
            held = _size(part)
            stitched = stitched or held > 0
            failures = 1 if held > best else failures + 1
            best = max(best, held)
            if failures == TRIES:
                raise CaloforgeError(
                    f"the download of {file.name} broke off after {held} of {file.size} bytes: {error}; "
                    f"run the same command again to resume it"
                ) from None
            _wait(failures, error)
        else:
            held = file.size
    return stitched


def _receive(session: requests.Session, file: RemoteFile, part: Path, held: int, report: Received) -> None:
    """Append one response to the `held` bytes of `part`; restart it if the server cannot resume."""
    with _open(session, file.url, {"Range": f"bytes={held}-"} if held else {}) as response:
        if held and not _goes_on(response, held, file.size):
            # 200 is the whole file; 416, or a range that we did not ask for, means that the file has changed.
            held = 0
            part.write_bytes(b"")
            if response.status_code != 200:
                raise _Passing(f"{urlsplit(file.url).netloc} cannot resume the download")
        try:
            with part.open("ab") as stream:
                for chunk in response.iter_content(CHUNK):
                    held += len(chunk)
                    if held > file.size:
                        break
                    stream.write(chunk)
                    report(file, held)
        except requests.RequestException as error:
            raise _Passing(_in_words(error, file.url)) from None
    if held > file.size:
        part.unlink()
        raise CaloforgeError(f"{file.url} sends more than the {file.size} bytes listed in its record; try again later")
    if held < file.size:
        raise _Passing(f"{urlsplit(file.url).netloc} closed the connection")


def _goes_on(response: requests.Response, held: int, size: int) -> bool:
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    return response.status_code == 206 and found is not None and int(found[1]) == held and found[2] in ("*", str(size))


def _open(session: requests.Session, url: str, headers: dict[str, str] | None = None) -> requests.Response:
    """The response to GET, with its body unread; 416 is returned to callers that asked for a range."""
    try:
        response = session.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    except requests.exceptions.SSLError:
        raise CaloforgeError(
            f"{urlsplit(url).netloc} has no valid certificate; check the clock and the proxy"
        ) from None
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _Passing(_in_words(error, url)) from None
    except requests.RequestException as error:
        raise CaloforgeError(f"cannot request {url}: {_in_words(error, url)}; check the address") from None
    status = response.status_code
    if status < 400 or (status == 416 and headers):
        return response
    response.close()
    answer = f"{urlsplit(url).netloc} answers {status} {response.reason}".strip()
    if status in BUSY:
        asked = response.headers.get("Retry-After", "")
        raise _Passing(answer, float(asked) if asked.isdecimal() else 0.0)
    raise CaloforgeError(f"{answer} for {url}; check the address, and that it is public")


def _in_words(error: requests.RequestException, url: str) -> str:
    host = urlsplit(url).netloc
    if isinstance(error, requests.exceptions.ProxyError):
        return f"cannot reach {host} through the proxy"
    if isinstance(error, requests.Timeout):
        return f"{host} timed out"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return f"{host} closed the connection"
    if isinstance(error, requests.ConnectionError):
        return f"cannot connect to {host}"
    return " ".join(str(error).split())


def _wait(failures: int, error: _Passing) -> None:
    sleep(min(LONGEST_PAUSE, max(error.wait, PAUSE * 2 ** (failures - 1))))
