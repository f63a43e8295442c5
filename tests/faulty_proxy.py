"""A real HTTP proxy in front of a real store, which fails as networks and servers do."""

from __future__ import annotations

import http.client
import threading
from collections import deque
from dataclasses import dataclass
from enum import Enum
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
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
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
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

    def __enter__(self) -> Self:
        """Serve in a thread."""
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving and release what stalls."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, proxy: FaultyProxy, *connection: Any) -> None:  # noqa: ANN401 - the base class's business
        # Set first: the base class serves the whole connection in its constructor.
        self._proxy = proxy
        super().__init__(*connection)

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self._proxy.take_fault(self.command)
        match fault:
            case None:
                self._relay(self._ask(body))
            case Fault.LOSE_REPLY:
                self._ask(body)
                self.close_connection = True
            case Fault.STALL:
                self._proxy.stall()
                self.close_connection = True
            case _:
                self._relay(_Answer(int(fault.name[-3:]), [], b""))

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward  # noqa: N815 - the base class's names

    def _ask(self, body: bytes) -> _Answer:
        connection = http.client.HTTPConnection(self._proxy.upstream, timeout=30)
        # The Host header is signed, so it must arrive as the client wrote it.
        connection.request(self.command, self.path, body=body, headers=dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return _Answer(answer.status, answer.getheaders(), content)

    def _relay(self, answer: _Answer) -> None:
        self.send_response_only(answer.status)
        lengths = [value for name, value in answer.headers if name.lower() == "content-length"]
        for name, value in answer.headers:
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        is_head = self.command == "HEAD"
        self.send_header("Content-Length", lengths[0] if is_head and lengths else str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Stay silent."""


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    content: bytes
