"""A real HTTP proxy in front of a real store, which fails as networks and servers do."""

from __future__ import annotations

import http.client
import threading
from collections import deque
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Fault(Enum):
    """What happens to one request."""

    LOSE_REPLY = "the store does as asked, the connection breaks before the reply"
    REFUSE_503 = "503 without the store having been asked"
    REFUSE_500 = "500 without the store having been asked"
    CONFLICT_409 = "409 without the store having been asked"
    STALL = "no answer, ever"


class FaultyProxy:
    """Forwards every request to the upstream, except those that are to fail."""

    def __init__(self, upstream: str) -> None:
        """Listen on a free port of the loopback; `with` starts serving."""
        self.upstream = urlsplit(upstream).netloc
        self.seen: list[str] = []
        self._faults: dict[str, deque[Fault]] = {}
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler())
        self._server.daemon_threads = True

    @property
    def endpoint(self) -> str:
        """The address to give to a client."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def fail_next(self, method: str, *faults: Fault) -> None:
        """Let the next requests of this method fail, one fault each."""
        self._faults.setdefault(method, deque()).extend(faults)

    def take_fault(self, method: str) -> Fault | None:
        """Note the request and return its fault."""
        self.seen.append(method)
        waiting = self._faults.get(method)
        return waiting.popleft() if waiting else None

    def stall(self) -> None:
        """Keep the calling thread until the proxy ends."""
        self._ended.wait()

    def __enter__(self) -> FaultyProxy:
        """Serve in a thread."""
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving and release what stalls."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def _make_handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = proxy.take_fault(self.command)
                match fault:
                    case None:
                        self._relay(*self._ask(body))
                    case Fault.LOSE_REPLY:
                        self._ask(body)
                        self.close_connection = True
                    case Fault.STALL:
                        proxy.stall()
                        self.close_connection = True
                    case _:
                        self._relay(int(fault.name[-3:]), [], b"")

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward  # noqa: N815 - the base class's names

            def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
                connection = http.client.HTTPConnection(proxy.upstream, timeout=30)
                # The Host header is signed, so it must arrive as the client wrote it.
                connection.request(self.command, self.path, body=body, headers=dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                return answer.status, answer.getheaders(), content

            def _relay(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
                self.send_response_only(status)
                length = next((value for name, value in headers if name.lower() == "content-length"), str(len(content)))
                for name, value in headers:
                    if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", length if self.command == "HEAD" else str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Stay silent."""

        return Handler
