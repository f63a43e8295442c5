"""The rig's daemons: started in the foreground of a session of their own, remembered and ended by process id."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.waiting import wait_until

MARK = "GLIDERPORT_RIG"
"""Environment variable by which what a daemon started is known: the rig's folder and the daemon's name."""
_PATIENCE_SECONDS = 10
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


@dataclass(frozen=True)
class Daemon:
    """One long-running program of a rig."""

    name: str
    """Names its log and its process id file."""
    folder: Path
    """The rig's folder."""
    command: Sequence[str]
    """What runs; it must stay in the foreground."""
    environment: Mapping[str, str]
    """All of its environment."""

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "log" / f"{self.name}.log"

    @property
    def _remembered(self) -> Path:
        return self.folder / "run" / f"{self.name}.pid"

    def find(self) -> psutil.Process | None:
        """Return its process, or None when it does not run."""
        with suppress(FileNotFoundError, psutil.NoSuchProcess):
            pid, started = self._remembered.read_text().split()
            process = psutil.Process(int(pid))
            # A process id may have been given to somebody else meanwhile.
            if process.create_time() == float(started) and _is_alive(process):
                return process
        return None

    def start(self) -> None:
        """Start it unless it runs."""
        if self.find():
            return
        # No Popen: it warns when it is forgotten, and a daemon is meant to outlive who started it.
        pid = os.posix_spawnp(
            self.command[0],
            list(self.command),
            {**self.environment, MARK: self._mark},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log), _APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        self._remembered.write_text(f"{pid} {psutil.Process(pid).create_time()}")

    def kill(self) -> None:
        """Kill it and all that it started, at once."""
        end_processes(self.list_processes(), patience_seconds=0)

    def stop(self) -> None:
        """Ask it to end, then end what is left of it."""
        if process := self.find():
            end_processes([process])
        end_processes(self.list_processes())

    def list_processes(self) -> list[psutil.Process]:
        """List it and all that it started, whoever the parent is now."""
        marked = [process for process in psutil.process_iter() if _read_mark(process) == self._mark]
        # A program may write its title over its environment, the mark included, as sshd does.
        first = self.find()
        return [process for process in {*marked, *([first] if first else [])} if _is_alive(process)]

    @property
    def _mark(self) -> str:
        return f"{self.folder}:{self.name}"

    def tail(self, lines: int = 20) -> str:
        """Quote the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""


def end_processes(processes: Iterable[psutil.Process], *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
    """Terminate the processes, kill those that are left, and wait until they are gone."""
    ending = list(processes)
    if patience_seconds:
        for process in ending:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        with suppress(AssertionError):
            _wait_until_gone(ending, timeout_seconds=patience_seconds)
    for process in ending:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _wait_until_gone(ending, timeout_seconds=_PATIENCE_SECONDS)


def _read_mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except psutil.Error:
        return None


def _wait_until_gone(processes: list[psutil.Process], *, timeout_seconds: float) -> None:
    wait_until(
        lambda: not any(_is_alive(process) for process in processes),
        f"{processes} ended",
        timeout_seconds=timeout_seconds,
    )


def _is_alive(process: psutil.Process) -> bool:
    """Tell the living from zombies, which nobody may reap for a while."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
