"""A metadata service as one machine of one cloud sees it, at an address of its own.

A test tells the face what its cloud announces, and the server to hang, or to talk nonsense as captive networks do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.metadata_faces import Face, Reply, Request

SIGN_IN = Reply(200, "<!DOCTYPE html><html><body>Please sign in to this network.</body></html>")
"""What a captive network answers to everything."""
_POLL_SECONDS = 0.02


class MetadataServer:
    """One machine's metadata service, on the loopback interface."""

    def __init__(self, face: Face) -> None:
        self._server = _Server(("127.0.0.1", 0), _make_handler(self))
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.face = face
        self.requests: list[tuple[str, str, int]] = []
        self.seconds_ahead = 0.0
        self.nonsense: Reply | None = None
        self.hangs = False
        self._over = threading.Event()

    def asked(self, path: str) -> list[int]:
        """Return the statuses of the answers to questions for this path."""
        return [status for _, asked, status in self.requests if asked == path]

    def reply_to(self, request: Request) -> Reply:
        """Return what this server answers."""
        if self.hangs:
            self._over.wait()
        reply = self.nonsense or self.face.answer(request)
        self.requests.append((request.method, request.path, reply.status))
        return reply

    @contextmanager
    def serve(self) -> Generator[None]:
        """Answer until the block is left."""
        thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()


@contextmanager
def serve_metadata(face: Face) -> Generator[MetadataServer]:
    """Serve the face at an address of its own until the block is left."""
    server = MetadataServer(face)
    with server.serve():
        yield server


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing about clients that went away."""


def _make_handler(server: MetadataServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = server.reply_to(Request(self.command, parts.path, query, headers))
            body = reply.body.encode()
            self.send_response_only(reply.status)
            self.send_header("Date", formatdate(time.time() + server.seconds_ahead, usegmt=True))
            for name, value in {**reply.headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = _reply  # noqa: N815 - the base class's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Keep quiet."""

    return Handler
