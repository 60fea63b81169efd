"""A local HTTP server that publishes a record like Zenodo's, and misbehaves when told to."""

import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

TRAIN, REFERENCE = "dataset_1_photons_1.hdf5", "dataset_1_photons_2.hdf5"
CONTENT = {
    name: np.random.default_rng(seed).bytes(300_000 + seed)
    for seed, name in enumerate((TRAIN, REFERENCE, "binning.xml"))
}


class Publisher:
    """What the server serves, how it misbehaves, and what it was asked for."""

    def __init__(self):
        self.files = dict(CONTENT)
        self.described = dict(CONTENT)
        self.record = None
        self.ranges = True
        self.moved = False
        self.cuts = []
        """For each coming file request, after how many bytes the connection is cut (None: never)."""
        self.answers = []
        """For each coming request of any kind, a (status, headers) to answer with instead (None: serve)."""
        self.asked = []
        """(path, Range header) of every request."""

    def json(self):
        files = [
            {
                "key": name,
                "size": len(content),
                "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
                "links": {"self": f"{self.url}/files/{name}/content"},
            }
            for name, content in self.described.items()
        ]
        return json.dumps(self.record if self.record is not None else {"files": files}).encode()

    @property
    def file_requests(self):
        return [(path.split("/")[-2], span) for path, span in self.asked if path.startswith("/files/")]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", headers=(), sent=None):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body[:sent])
        self.close_connection = True

    def do_GET(self):
        publisher = self.server.publisher
        publisher.asked.append((self.path, self.headers["Range"]))
        instead = publisher.answers.pop(0) if publisher.answers else None
        if instead:
            self.answer(instead[0], b"<p>not now</p>", instead[1])
        elif self.path == "/api/records/8099322" and publisher.moved:
            self.answer(302, headers={"Location": "/api/records/9000000"})
        elif re.fullmatch("/api/records/(8099322|9000000)", self.path):
            self.answer(200, publisher.json(), {"Content-Type": "application/json"})
        elif self.path.startswith("/files/") and self.path.split("/")[2] in publisher.files:
            self.serve(publisher.files[self.path.split("/")[2]])
        else:
            self.answer(404)

    def serve(self, content):
        publisher = self.server.publisher
        sent = publisher.cuts.pop(0) if publisher.cuts else None
        span = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if not (span and publisher.ranges):
            self.answer(200, content, sent=sent)
        elif int(span[1]) >= len(content):
            self.answer(416, headers={"Content-Range": f"bytes */{len(content)}"})
        else:
            start = int(span[1])
            where = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.answer(206, content[start:], {"Content-Range": where}, sent)


@contextmanager
def publishing() -> Iterator[Publisher]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.publisher = Publisher()
    server.publisher.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.publisher
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def contents(folder):
    """Name and bytes of each file in `folder`."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def only(*names):
    """What `contents` gives where these files were fetched whole."""
    return {name: CONTENT[name] for name in names}


def free_port():
    """A port of 127.0.0.1 where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
