"""A worker as a process of this machine: the command that starts it, by which it is recognised ever after.

What a launcher that was killed had no time to write down is still told by the table of processes.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from gliderport_prefect.protocol.ids import CampaignId, WorkerName
from gliderport_prefect.protocol.resources import Offer

_BUNDLE = re.compile(r"worker-[0-9a-f]{16}\.pyz")
_POLL_SECONDS = 0.1
_BURIAL_SECONDS = 1.0
"""How long a parent has to take note of the end of its process before others go on without it."""
_FLAGS = ("--bucket", "--campaign", "--name", "--scratch")


@dataclass(frozen=True)
class WorkerCommand:
    """What a worker is told of itself by the launcher that starts it."""

    bucket: str
    """URL of the runtime bucket."""
    campaign: CampaignId
    """Whose jobs it runs."""
    worker: WorkerName
    """Its name."""
    folder: Path
    """Where its site keeps the bundle, notes, logs and scratch of the campaign."""

    def words(self, bundle: Path, offer: Offer) -> list[str]:
        """Return the command line; the bundle lies in the folder."""
        told = [self.bucket, self.campaign, self.worker, str(self.scratch)]
        pairs = [word for pair in zip(_FLAGS, told, strict=True) for word in pair]
        has = ["--cpus", f"{offer.cpus:g}", "--memory", str(offer.memory_bytes), "--gpus", str(offer.gpus)]
        return [sys.executable, str(bundle), *pairs, *has]

    @property
    def scratch(self) -> Path:
        """Its local disk."""
        return self.folder / "scratch" / self.worker


@dataclass(frozen=True)
class WorkerProcess:
    """A process that a site of this machine started as a worker, and that has not ended."""

    command: WorkerCommand
    """What it was told."""
    process: psutil.Process
    """The process."""
    user: str
    """Its owner, when that is another user than this process's own; else empty."""


def bundle_name(sha256: str) -> str:
    """Return the name of the local copy of the bundle with that content."""
    return f"worker-{sha256[:16]}.pyz"


def read_command(words: Sequence[str]) -> WorkerCommand | None:
    """Return what the command line says if it is one of ours, whole: a bundle and scratch in one site folder."""
    end = 2 + 2 * len(_FLAGS)
    if len(words) < end or tuple(words[2:end:2]) != _FLAGS:
        return None
    bundle, (bucket, campaign, name, scratch) = Path(words[1]), words[3:end:2]
    command = WorkerCommand(bucket, CampaignId(campaign), WorkerName(name), bundle.parent)
    is_ours = _BUNDLE.fullmatch(bundle.name) and Path(scratch) == command.scratch
    return command if is_ours else None


def find_worker_processes(own_uid: int | None = None) -> list[WorkerProcess]:
    """Return the workers that sites of this machine have started, of all campaigns and users.

    Args:
        own_uid: Who asks; the user of this process when not given.
    """
    uid = os.getuid() if own_uid is None else own_uid
    found = {process.pid: (command, process) for command, process in _candidates()}
    # A process that a worker has just forked looks like the worker until it becomes something else.
    return [
        WorkerProcess(command, process, _other_user(process, uid))
        for command, process in found.values()
        if process.info["ppid"] not in found
    ]


def end_processes(processes: Sequence[psutil.Process], *, grace_seconds: float) -> list[psutil.Process]:
    """End these: TERM, and after the grace time KILL for them and all that they started; return who is still there."""
    for process in processes:
        _quietly(process.terminate)
    for process in _wait(processes, grace_seconds):
        _kill_tree(process)
    return _wait(processes, grace_seconds)


def _candidates() -> Iterator[tuple[WorkerCommand, psutil.Process]]:
    for process in psutil.process_iter(["cmdline", "ppid", "status"]):
        info: dict[str, object] = process.info
        words = info["cmdline"]
        command = read_command(words) if isinstance(words, list) else None  # pyright: ignore[reportUnknownArgumentType]
        if command is not None and info["status"] != psutil.STATUS_ZOMBIE:
            yield command, process


def _other_user(process: psutil.Process, uid: int) -> str:
    try:
        return "" if process.uids().real == uid else process.username()
    except psutil.NoSuchProcess:
        return ""


def _wait(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until these have ended, and return those that have not after that time."""
    began_at, left = time.monotonic(), list(processes)
    while True:
        _, left = psutil.wait_procs(left, timeout=min(seconds, _POLL_SECONDS))
        alive, waited = [each for each in left if _is_alive(each)], time.monotonic() - began_at
        # Who has ended stays in the table until its parent has heard of it, which some parents never do.
        if not left or waited > seconds or (not alive and waited > _BURIAL_SECONDS):
            return alive


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _kill_tree(process: psutil.Process) -> None:
    try:
        family = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    for each in family:
        _quietly(each.kill)


def _quietly(act: Callable[[], None]) -> None:
    try:
        act()
    except psutil.NoSuchProcess:
        return
