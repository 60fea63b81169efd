"""Fetching a file whole over HTTP: resumed when broken off, verified, and named only when it is right.

The bytes of FILE go into `FILE.part` beside it. After a break the next request asks for the rest alone
(`Range: bytes=N-`, RFC 9110 section 14) and looks at the answer: 206 goes on, 200 is the whole file once
more, and 416 says that N is not inside the file any more, so that we start afresh. A `.part` is kept when we
give up, and a later call goes on from it. When it has its size, its checksum decides whether it takes the
file's name.
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
from caloforge.errors import CaloforgeError

TIMEOUT = (15.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes on it."""
READ_TRIES = 3
"""Failures after which a description is given up: whoever has no network should soon be told."""
TRIES = 5
"""Failures in a row, without a byte gained between them, after which a file is given up."""
PAUSE = 1.0
"""Seconds before the second try; doubled before each further one."""
LONGEST_PAUSE = 60.0
CHUNK = 1 << 16
BUSY = {408, 425, 429, 500, 502, 503, 504}
"""Answers that may be better a little later."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as its publisher describes it.

    Args:
        name: what it is called here, without a folder.
        size: bytes.
        algorithm: of the checksum, as hashlib calls it: `md5`, `sha256`, ...
        digest: the checksum in hexadecimal, lower case.
        url: where it lies.
    """

    name: str
    size: int
    algorithm: str
    digest: str
    url: str


Received = Callable[[RemoteFile, int], None]
"""Told of a file and how many of its bytes are here; the number falls when a download starts afresh."""


class _Passing(Exception):
    """A failure that may pass: said in words, with the seconds that the server asks us to wait."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def new_session() -> requests.Session:
    """A session that says who asks, and asks for bytes as they are."""
    session = requests.Session()
    session.headers["User-Agent"] = f"caloforge/{__version__}"
    # A compressed transfer would have another length than the file.
    session.headers["Accept-Encoding"] = "identity"
    return session


def read_json(session: requests.Session, url: str, remedy: str) -> tuple[Any, str]:
    """The JSON at `url`, and the address that it came from after redirects.

    Args:
        session: from `new_session`.
        url: where to ask.
        remedy: what the user can do where there is no answer; ends the error's line.

    Raises:
        CaloforgeError: no network, the server refuses, or the answer is not JSON.
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
    try:
        return response.json()
    except requests.JSONDecodeError:
        raise CaloforgeError(f"{response.url} answers with something that is not JSON; is the address right?") from None
    except requests.RequestException as error:
        raise _Passing(_in_words(error, response.url)) from None


def _part(file: RemoteFile, folder: Path) -> Path:
    return folder / f"{file.name}.part"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def is_here(file: RemoteFile, folder: Path) -> bool:
    """Whether `folder` holds `file`, whole and with its checksum.

    Raises:
        CaloforgeError: something else has that name there (it is the user's: we do not replace it), or it
            cannot be read.
    """
    path = folder / file.name
    try:
        if not path.exists():
            return False
        if path.is_file() and _size(path) == file.size and _digest(path, file.algorithm) == file.digest:
            return True
    except OSError as error:
        raise CaloforgeError(f"cannot read {path}: {error.strerror}") from None
    raise CaloforgeError(
        f"{path} is there already but differs from the published file ({file.size} bytes, {file.algorithm} "
        f"{file.digest}); rename or remove it, or give another folder"
    )


def check_space(files: Sequence[RemoteFile], folder: Path) -> None:
    """Check that the bytes of `files` that are not in `folder` yet fit on its disk.

    Raises:
        CaloforgeError: they do not.
    """
    needed = sum(max(0, file.size - _size(_part(file, folder))) for file in files)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CaloforgeError(
            f"{folder} has {free / 1e6:,.0f} MB free and the download needs {needed / 1e6:,.0f} MB; "
            f"make room, give another folder, or fetch fewer files"
        )


def download(session: requests.Session, file: RemoteFile, folder: Path, report: Received) -> None:
    """Fetch `file` into `folder`, going on from its `.part` where there is one.

    Raises:
        CaloforgeError: no network, the server refuses or sends something else, or `folder` cannot be written
            to.
    """
    part = _part(file, folder)
    try:
        for last in (False, True):
            stitched = _fill(session, file, part, report)
            found = _digest(part, file.algorithm)
            if found == file.digest:
                os.replace(part, folder / file.name)
                return
            part.unlink()
            # Pieces of two versions of a file do not fit together; a single piece that is wrong stays wrong.
            if last or not stitched:
                raise CaloforgeError(
                    f"{file.url} has the {file.algorithm} {found} but should have {file.digest}; its bytes "
                    f"are thrown away: try again, and if it stays so tell the publisher"
                )
    except OSError as error:
        raise CaloforgeError(f"cannot write {part}: {error.strerror}") from None


def _fill(session: requests.Session, file: RemoteFile, part: Path, report: Received) -> bool:
    """Bring `part` to the file's size; tell whether its bytes may come from more than one response."""
    if _size(part) > file.size:
        part.unlink()
    part.touch()
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
                    f"the same command goes on from there"
                ) from None
            _wait(failures, error)
        else:
            held = file.size
    return stitched


def _receive(session: requests.Session, file: RemoteFile, part: Path, held: int, report: Received) -> None:
    """Append one response to the `held` bytes of `part`; start it afresh where the server cannot go on."""
    with _open(session, file.url, {"Range": f"bytes={held}-"} if held else {}) as response:
        if held and not _goes_on(response, held, file.size):
            # 200 is the whole file; 416, or a piece that we did not ask for, means that the file has changed.
            held = 0
            part.write_bytes(b"")
            if response.status_code != 200:
                raise _Passing(f"{urlsplit(file.url).netloc} has no bytes to go on with")
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
        raise CaloforgeError(f"{file.url} sends more than the {file.size} bytes of its description; try again later")
    if held < file.size:
        raise _Passing(f"{urlsplit(file.url).netloc} closed the connection")


def _goes_on(response: requests.Response, held: int, size: int) -> bool:
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    return response.status_code == 206 and found is not None and int(found[1]) == held and found[2] in ("*", str(size))


def _open(session: requests.Session, url: str, headers: dict[str, str] | None = None) -> requests.Response:
    """The answer to GET, its body not yet read; 416 is handed on to who asked for a range."""
    try:
        response = session.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    except requests.exceptions.SSLError:
        raise CaloforgeError(f"{urlsplit(url).netloc} shows no valid certificate; check clock and proxy") from None
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _Passing(_in_words(error, url)) from None
    except requests.RequestException as error:
        raise CaloforgeError(f"cannot ask for {url}: {_in_words(error, url)}; is the address right?") from None
    status = response.status_code
    if status < 400 or (status == 416 and headers):
        return response
    response.close()
    answer = f"{urlsplit(url).netloc} answers {status} {response.reason}".strip()
    if status in BUSY:
        asked = response.headers.get("Retry-After", "")
        raise _Passing(answer, float(asked) if asked.isdecimal() else 0.0)
    raise CaloforgeError(f"{answer} to {url}; is the address right, and open to all?")


def _in_words(error: requests.RequestException, url: str) -> str:
    host = urlsplit(url).netloc
    if isinstance(error, requests.exceptions.ProxyError):
        return f"no way to {host} through the proxy"
    if isinstance(error, requests.Timeout):
        return f"{host} does not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return f"{host} closed the connection"
    if isinstance(error, requests.ConnectionError):
        return f"no connection to {host}"
    return " ".join(str(error).split())


def _wait(failures: int, error: _Passing) -> None:
    sleep(min(LONGEST_PAUSE, max(error.wait, PAUSE * 2 ** (failures - 1))))
