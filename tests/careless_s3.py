"""A small S3 server that ignores `If-None-Match`, as several real ones do."""

from __future__ import annotations

import threading
import xml.etree.ElementTree as ET
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit


class CarelessS3:
    """Keeps objects in memory and overwrites whatever it is sent."""

    def __init__(self) -> None:
        """Listen on a free port of the loopback; `with` starts serving."""
        self.objects: dict[str, bytes] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self.objects))
        self._server.daemon_threads = True

    @property
    def endpoint(self) -> str:
        """The address to give to a client."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Serve in a thread."""
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, objects: dict[str, bytes], *connection: Any) -> None:  # noqa: ANN401 - the base class's business
        # Set first: the base class serves the whole connection in its constructor.
        self._objects = objects
        super().__init__(*connection)

    def do_PUT(self) -> None:
        self._objects[self._key] = self._read_body()
        self._reply(200, b"")

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            self._reply(200, _render_listing(self._objects, query.get("prefix", [""])[0]))
        elif self._key in self._objects:
            self._reply(200, self._objects[self._key])
        else:
            self._reply(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_POST(self) -> None:
        request = ET.fromstring(self._read_body())  # noqa: S314 - from our own client
        keys = [element.text or "" for element in request.iter() if element.tag.endswith("Key")]
        for key in keys:
            self._objects.pop(key, None)
        deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self._reply(200, f"<DeleteResult>{deleted}</DeleteResult>".encode())

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).split("/", 2)[2]

    def _read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _reply(self, status: int, content: bytes) -> None:
        self.send_response_only(status)
        self.send_header("ETag", '"0"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Stay silent."""


def _render_listing(objects: dict[str, bytes], prefix: str) -> bytes:
    found = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>0</ETag><Size>{len(content)}</Size></Contents>"
        for key, content in sorted(objects.items())
        if key.startswith(prefix)
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode()
