"""The whole rig: up, down, and the accidents that tests stage."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.skypilot.rig import api_server, login, slurm, uv
from tests.skypilot.rig.folder import NODES, RigFolder, RigUnavailable
from tests.skypilot.rig.processes import Daemon
from tests.waiting import wait_until

_PROGRAMS = ("slurmctld", "slurmd", "munged", "sshd", "unshare", "rsync", "curl")
_ENDED = (
    "SUCCEEDED",
    "CANCELLED",
    "FAILED",
    "FAILED_SETUP",
    "FAILED_PRECHECKS",
    "FAILED_NO_RESOURCE",
    "FAILED_CONTROLLER",
)
_START_SECONDS = 300  # ten on a quiet machine
_LOG_LINES = 30
_POLL_SECONDS = 0.3
_COLUMNS = "spot_job_id, task_name, status, recovery_count, failure_reason"


@dataclass(frozen=True)
class ManagedJob:
    """What SkyPilot has on record of a managed job."""

    number: int
    """SkyPilot's number."""
    name: str
    """Name it was launched with."""
    status: str
    """PENDING, STARTING, RUNNING, RECOVERING, SUCCEEDED …"""
    recovery_count: int
    """How many times SkyPilot recovered it."""
    failure_reason: str | None
    """SkyPilot's words."""

    @property
    def has_ended(self) -> bool:
        """Whether it is over in whatever way."""
        return self.status in _ENDED


@dataclass(frozen=True)
class Rig:
    """A running SkyPilot with a Slurm cluster of virtual nodes."""

    folder: RigFolder
    """Where its state lies."""

    nodes = NODES

    @classmethod
    def of_checkout(cls) -> Self:
        """Name this checkout's rig, up or not."""
        return cls(RigFolder.of_checkout())

    # ------------------------------------------------------------------ what tests need

    @property
    def environment(self) -> dict[str, str]:
        """All of the environment for programs that use SkyPilot."""
        return api_server.make_client_environment(self.folder)

    @property
    def shared_folder(self) -> Path:
        """A folder that the nodes see under the same path and may write to; in their /tmp they see nothing else.

        A launcher whose bucket lies here must run with umask 0, or the nodes cannot write to what it makes.
        """
        return self.folder.root / "shared"

    def run_sky(self, *arguments: str, timeout_seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """Run SkyPilot's command line; its exit code is for the caller to judge."""
        return subprocess.run(
            ["sky", *arguments],
            env=self.environment,
            cwd=self.folder.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )

    def read_jobs(self) -> list[ManagedJob]:
        """Read SkyPilot's own record of the managed jobs: good for waiting, because it costs nothing."""
        database = self.folder.home / ".sky" / "spot_jobs.db"
        if not database.exists():
            return []
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'spot'").fetchone() is None:
                return []  # SkyPilot makes the file first
            rows = connection.execute(f"SELECT {_COLUMNS} FROM spot ORDER BY spot_job_id")  # noqa: S608 - a constant
            return [ManagedJob(*row) for row in rows]

    def read_job(self, number: int) -> ManagedJob:
        """Read SkyPilot's record of one managed job."""
        return next(job for job in self.read_jobs() if job.number == number)

    def wait_for_job(self, number: int, status: str, *, timeout_seconds: float = 240) -> None:
        """Return when SkyPilot says that the job has the status; fail at once when it has ended otherwise."""
        wait_until(
            lambda: self.read_job(number).status in {status, *_ENDED},
            f"managed job {number} is {status}",
            timeout_seconds=timeout_seconds,
            poll_seconds=_POLL_SECONDS,
        )
        assert self.read_job(number).status == status, self.read_job(number)

    def wait_for_end(self, number: int, *, timeout_seconds: float = 240) -> ManagedJob:
        """Wait until SkyPilot says that the job has ended in whatever way."""
        wait_until(
            lambda: self.read_job(number).status in _ENDED,
            f"managed job {number} has ended",
            timeout_seconds=timeout_seconds,
            poll_seconds=_POLL_SECONDS,
        )
        return self.read_job(number)

    def find_node(self, number: int) -> str | None:
        """Ask Slurm on which node a managed job runs; None when on none."""
        command = ("squeue", "--noheader", "--states=RUNNING", "--format=%j %N")
        said = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout
        allocations = (line.split() for line in said.splitlines())
        return next((node for name, node in allocations if name.split("-")[-2] == str(number)), None)

    def kill_node(self, name: str) -> None:
        """Pull the plug of a node: every process on it dies at once."""
        slurm.make_node(self.folder, name).kill()

    def start_node(self, name: str) -> None:
        """Bring a node back, empty, and wait until Slurm takes it."""
        slurm.make_node(self.folder, name).start()
        # A node that is back before it was missed counts as ready all the time.
        wait_until(
            lambda: slurm.is_listening(self.folder, name) and name in slurm.list_ready(self.folder),
            f"Slurm takes {name}",
            timeout_seconds=_START_SECONDS,
            poll_seconds=_POLL_SECONDS,
        )

    def kill_api_server(self) -> None:
        """Kill the API server and the jobs controller, as the loss of their machine does."""
        self._find("api-server").kill()

    def start_api_server(self) -> None:
        """Start the API server, or make sure that it runs."""
        server = self._find("api-server")
        server.start()
        self._wait_for(server, api_server.answers)

    def describe(self) -> str:
        """Say for a person how things stand: the managed jobs and where the logs are."""
        if not self.folder.slurm_conf.exists():
            return "the rig is not up"
        jobs = "\n".join(map(str, self.read_jobs())) or "no managed jobs"
        server = api_server.make_api_server(self.folder)
        logs = f"logs: {self.folder.log}, {self.folder.home}/sky_logs"
        return f"{jobs}\nend of {server.log}:\n{server.tail(_LOG_LINES)}\n{logs}"

    # ------------------------------------------------------------------ up and down

    def up(self) -> None:
        """Start what does not run, and wait until SkyPilot can be asked."""
        _check_machine()
        self.folder.make()
        if self.folder.slurm_conf.exists() and not any(daemon.find() for daemon in self.make_daemons()):
            self.folder.forget_last_run()
        login.make_user(self.folder)
        uv.make_shims(self.folder)
        for daemon in self.make_daemons():
            daemon.start()
            if daemon.name == "munged":
                self._wait_for(daemon, slurm.is_trusted)
        slurmctld, server = self._find("slurmctld"), self._find("api-server")
        self._wait_for(slurmctld, lambda folder: slurm.list_ready(folder) >= set(NODES))
        self._wait_for(server, api_server.answers)

    def down(self, *, forget: bool = False) -> None:
        """End everything; `forget` also removes its state, caches and Unix user."""
        if self.folder.slurm_conf.exists():
            for daemon in reversed(self.make_daemons()):
                daemon.kill()  # an orderly end takes ten seconds, and the next rig begins anew
        login.end_sessions(self.folder)
        if forget:
            login.remove_user(self.folder)
            shutil.rmtree(self.folder.root, ignore_errors=True)

    def make_daemons(self) -> list[Daemon]:
        """List its programs in the order in which they start, with their configuration written."""
        return [
            slurm.make_munge(self.folder),
            api_server.make_network(self.folder),
            api_server.make_api_server(self.folder),
            login.make_login(self.folder, uv.read_index_settings() | {"SLURM_CONF": str(self.folder.slurm_conf)}),
            slurm.make_controller(self.folder),
            *(slurm.make_node(self.folder, name) for name in NODES),
        ]

    def _find(self, name: str) -> Daemon:
        return next(daemon for daemon in self.make_daemons() if daemon.name == name)

    def _wait_for(self, daemon: Daemon, condition: Callable[[RigFolder], bool]) -> None:
        """Wait for the condition, which only the living daemon can bring about."""
        wait_until(
            lambda: condition(self.folder) or not daemon.find(),
            f"{daemon.name} is ready; the end of {daemon.log}:\n{daemon.tail()}",
            timeout_seconds=_START_SECONDS,
            poll_seconds=0.1,
        )
        if not daemon.find():
            raise RigUnavailable(f"{daemon.name} ended while it started; the end of {daemon.log}:\n{daemon.tail()}")


def _check_machine() -> None:
    """Say at once what would fail later."""
    if missing := [name for name in _PROGRAMS if not shutil.which(name, path=f"/usr/sbin:{os.environ['PATH']}")]:
        raise RigUnavailable(f"programs are missing: {', '.join(missing)}; make debian installs them, or says how")
    if os.geteuid() != 0:
        raise RigUnavailable(
            "only root can start virtual nodes; run as root, or leave these tests out: make test WITHOUT=skypilot"
        )
