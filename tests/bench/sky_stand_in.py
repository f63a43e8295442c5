"""Stands for SkyPilot's API server and the jobs controller behind it, as far as SkyPilot's own client calls them.

It takes every task, has one machine for all, and never starts anything. What it says follows SkyPilot 0.14: a request
is answered with a number, `/api/stream` has the lines of its log until it is over, `/api/get` has what came of it.
"""

from __future__ import annotations

import base64
import json
import pickle
import re
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_TABLE = """\
Considered resources (1 node):
---------------------------------------------------------------------------------------------
 INFRA               INSTANCE     vCPUs   Mem(GB)   GPUS   COST ($)   CHOSEN
---------------------------------------------------------------------------------------------
 AWS (us-east-1)     m6i.xlarge   4       16        -      0.19          ✔
---------------------------------------------------------------------------------------------
"""
_NOTHING = base64.b64encode(pickle.dumps(None)).decode()
_VERSIONS = ("X-SkyPilot-API-Version", "X-SkyPilot-Version")
_KINDS = {"/optimize": "optimize", "/jobs/launch": "jobs.launch", "/jobs/queue/v2": "jobs.queue_v2"}


@dataclass
class SkyStandIn:
    """What has been asked of it."""

    answer_seconds: float
    """How long a launch takes to be answered."""
    url: str = ""
    """Where it listens."""
    launches: dict[str, float] = field(default_factory=dict[str, float])
    """When each managed job was asked for, by its name and the monotonic clock of this machine."""
    repeated: int = 0
    """How many were asked for under a name that had been."""
    _requests: list[str] = field(default_factory=list[str])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, kind: str, body: dict[str, Any]) -> str:
        """Take a request and return its number."""
        with self._lock:
            if kind == "jobs.launch":
                self.repeated += body["name"] in self.launches
                self.launches.setdefault(body["name"], time.monotonic())
            self._requests.append(kind)
            return f"{kind}-{len(self._requests)}"

    def stream(self, request: str) -> str:
        """Return the log of a request once it is over."""
        if request.startswith("jobs.launch"):
            time.sleep(self.answer_seconds)
            return "Managed job submitted\n"
        return _TABLE

    def result(self, request: str) -> dict[str, Any]:
        """Return what came of a request."""
        kind = request.rpartition("-")[0]
        with self._lock:
            names = [*self.launches]
        jobs = [{"job_id": number, "job_name": name, "status": "PENDING"} for number, name in enumerate(names, start=1)]
        found: dict[str, Any] = {"jobs": jobs, "total": len(jobs), "total_no_filter": len(jobs), "status_counts": {}}
        return {
            "request_id": request,
            "name": f"sky.{kind}",
            "entrypoint": _NOTHING,
            "request_body": _NOTHING,
            "status": "SUCCEEDED",
            "created_at": time.time(),
            "user_id": "bench",
            "return_value": json.dumps(found if kind == "jobs.queue_v2" else None),
            "error": "null",
            "pid": None,
            "schedule_type": "long",
        }


@contextmanager
def sky_stand_in(*, answer_seconds: float) -> Generator[SkyStandIn]:
    """Answer on a port of this machine until the block ends."""
    stand_in = SkyStandIn(answer_seconds)

    class Answers(_Answers):
        server_side = stand_in

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.daemon_threads = True
        stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield stand_in
        finally:
            server.shutdown()
            thread.join()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_side: SkyStandIn

    def do_GET(self) -> None:
        """Tell of the server or of a request."""
        parts = urlsplit(self.path)
        request = parse_qs(parts.query).get("request_id", [""])[0]
        if parts.path == "/api/health":
            api_version, version = (self.headers.get(name, "") for name in _VERSIONS)
            told = {"status": "healthy", "api_version": api_version, "version": version, "commit": "none"}
            self._answer(json.dumps(told))
        elif parts.path == "/api/stream":
            self._answer(self.server_side.stream(request), stream=request)
        elif parts.path == "/api/get":
            self._answer(json.dumps(self.server_side.result(request)))
        else:
            self._answer("{}", status=404)

    def do_POST(self) -> None:
        """Take a request."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        kind = _KINDS.get(urlsplit(self.path).path)
        if kind is not None:
            self._answer("{}", request=self.server_side.take(kind, body))
        else:
            self._answer("{}", status=200 if re.fullmatch(r"/validate", self.path) else 404)

    def _answer(self, text: str, *, status: int = 200, request: str = "", stream: str = "") -> None:
        data = text.encode()
        self.send_response(status)
        for name in _VERSIONS:  # a server of the client's own version
            self.send_header(name, self.headers.get(name, ""))
        for name, number in (("X-Skypilot-Request-ID", request), ("X-SkyPilot-Stream-Request-ID", stream)):
            if number:
                self.send_header(name, number)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is declared
        """Say nothing."""
