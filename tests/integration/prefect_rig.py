"""A real Prefect server and a real Prefect worker on this machine, and what tests ask of them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psutil

from tests.waiting import wait_until

REPOSITORY = Path(__file__).parents[2]
DEPLOYMENT = "gliderport-campaign/run-campaign"
_PREFECT = str(Path(sys.executable).with_name("prefect"))
_QUICK = {
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_WORKER_QUERY_SECONDS": "0.3",
    "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.2",
}


@dataclass(frozen=True)
class Prefect:
    """A Prefect server with a Prefect worker."""

    url: str
    folder: Path
    environment: Mapping[str, str]

    def run_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `prefect` with these arguments in the repository, with nobody to answer a question."""
        return subprocess.run(
            [_PREFECT, *arguments],
            cwd=REPOSITORY,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    def request(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - whatever the API answers
        """Ask the server's API, again while its database is busy."""
        replies: list[Any] = []
        await_answer(lambda: replies.extend(self._request(method, path, body=body)) or replies, "the server has time")
        return replies[0]

    def _request(self, method: str, path: str, *, body: object) -> list[Any]:
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310 - our own server
                return [json.loads(reply.read() or b"null")]
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            return []

    def start_run(self, **parameters: object) -> FlowRun:
        """Let the deployment run with these parameters."""
        deployment = self.request("GET", f"/deployments/name/{DEPLOYMENT}")
        run = self.request("POST", f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})
        return FlowRun(self, run["id"])

    def is_up(self) -> bool:
        """Say whether the server answers."""
        try:
            return bool(self.request("GET", "/health"))
        except (OSError, urllib.error.URLError):
            return False


@dataclass(frozen=True)
class FlowRun:
    """A run of the deployment, as the server tells of it."""

    prefect: Prefect
    id: str

    @property
    def campaign(self) -> str:
        """The campaign that is named after the run."""
        return f"run-{self.id[-12:]}"

    def state(self) -> tuple[str, str]:
        """Return the name of the run's state and its message."""
        state = self.prefect.request("GET", f"/flow_runs/{self.id}")["state"]
        return state["name"], state["message"] or ""

    def set_state(self, kind: str, name: str) -> None:
        """Do what the buttons of the UI do."""
        self.prefect.request("POST", f"/flow_runs/{self.id}/set_state", {"state": {"type": kind, "name": name}})

    def wait_for(self, *names: str) -> str:
        """Wait until the run is in one of these states and return the state's message."""
        await_answer(lambda: self.state()[0] in names, f"flow run in state {names}")
        return self.state()[1]

    def task_states(self) -> list[tuple[str, str]]:
        """Return name and state of the task runs that there have been, in order of their start."""
        about = {"flow_runs": {"id": {"any_": [self.id]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return [
            (each["name"], each["state"]["name"]) for each in self.prefect.request("POST", "/task_runs/filter", about)
        ]

    def artifacts(self) -> dict[str, dict[str, Any]]:
        """Return the run's artifacts by key."""
        about = {"flow_runs": {"id": {"any_": [self.id]}}}
        return {each["key"]: each for each in self.prefect.request("POST", "/artifacts/filter", about)}

    def log(self) -> str:
        """Return what the run has logged."""
        about = {"logs": {"flow_run_id": {"any_": [self.id]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(each["message"] for each in self.prefect.request("POST", "/logs/filter", about))

    def processes(self) -> list[psutil.Process]:
        """Return the process that the Prefect worker has started for the run; its children inherit its variables."""
        mine = [each for each in psutil.process_iter() if _environment(each).get("PREFECT__FLOW_RUN_ID") == self.id]
        return [each for each in mine if "prefect.engine" in each.cmdline()]

    def worker_processes(self) -> list[psutil.Process]:
        """Return the workers of the run's campaign, and what their jobs have started."""
        return [
            each for each in psutil.process_iter(["cmdline"]) if self.campaign in " ".join(each.info["cmdline"] or [])
        ]


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def await_answer(predicate: Callable[[], object], description: str) -> None:
    """Wait until a predicate holds that asks a server, whose time is dear."""
    wait_until(predicate, description, timeout_seconds=90, poll_seconds=0.25)


@contextmanager
def prefect_server(folder: Path) -> Generator[Prefect]:
    """Run a server with a database of its own."""
    port = _free_port()
    environment = {
        **os.environ,
        **_QUICK,
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
    }
    server = Prefect(environment["PREFECT_API_URL"], folder, environment)
    with _process(server, "server", "start", "--host", "127.0.0.1", "--port", str(port)):
        await_answer(server.is_up, "the Prefect server answers")
        yield server


@contextmanager
def prefect_worker(server: Prefect) -> Generator[None]:
    """Run a Prefect worker of type process, which makes the work pool, too."""
    with _process(server, "worker", "start", "--pool", "gliderport", "--type", "process"):
        wait_until(lambda: server.request("POST", "/work_pools/filter", {}), "there is a work pool", timeout_seconds=60)
        yield


@contextmanager
def _process(server: Prefect, *arguments: str) -> Generator[None]:
    command: Sequence[str] = [_PREFECT, "--no-prompt", *arguments]
    with (server.folder / f"{arguments[0]}.log").open("wb") as log:
        child = subprocess.Popen(
            command, cwd=server.folder, env=server.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            child.terminate()
            child.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
