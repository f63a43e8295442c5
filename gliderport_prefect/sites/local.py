"""Workers as processes of this machine.

They outlive the launcher: a file per worker tells the next launcher of the same campaign which process it is, and
where that is missing, the process's command line does.
"""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from gliderport_prefect.errors import SiteError
from gliderport_prefect.protocol.ids import CampaignId, WorkerName
from gliderport_prefect.protocol.resources import Offer
from gliderport_prefect.sites.notes import Notes
from gliderport_prefect.sites.seam import Machine, Market, Quote, SiteWorker, WorkerState
from gliderport_prefect.sites.started import Started
from gliderport_prefect.sites.worker_process import (
    WorkerCommand,
    bundle_name,
    end_processes,
    find_worker_processes,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gliderport_prefect.store import Store

_TAIL_BYTES = 2000
"""How much of a dead worker's log is shown."""
_GRACE_SECONDS = 15.0
"""Time between TERM and KILL of a worker that is stopped."""


@dataclass(frozen=True)
class LocalOptions:
    """What a worker of this machine gets."""

    workers: int = 1
    """Most workers at a time; they share the machine equally."""
    cpus: float | None = None
    """CPU cores of each; an equal share when not given."""
    memory_bytes: int | None = None
    """Memory of each, in bytes; an equal share when not given."""
    gpus: int | None = None
    """GPUs of each; none when not given."""
    grace_seconds: float = _GRACE_SECONDS
    """Time between TERM and KILL of a worker that is stopped."""


class LocalSite:
    """This machine, as a site of one campaign."""

    def __init__(self, *, folder: Path, store: Store, bundle_key: str, campaign: str, options: LocalOptions) -> None:
        """Describe the site; nothing is started.

        Args:
            folder: Where it keeps a file and a log for each worker, and their scratch.
            store: The runtime bucket.
            bundle_key: Where the `worker.pyz` is in it.
            campaign: Id of the campaign.
            options: What each worker gets.
        """
        self._folder, self._store, self._bundle_key, self._campaign = folder, store, bundle_key, CampaignId(campaign)
        self._options, self._notes, self._has_adopted = options, Notes(folder), False
        self._children: dict[WorkerName, psutil.Process] = {}

    @property
    def offer(self) -> Offer:
        """What a new worker will have."""
        options, share = self._options, max(1, self._options.workers)
        return Offer(
            cpus=options.cpus or max(1.0, (os.cpu_count() or 1) / share),
            memory_bytes=options.memory_bytes or psutil.virtual_memory().total // share,
            disk_bytes=psutil.disk_usage(str(self._existing_parent())).free,
            gpus=options.gpus or 0,
        )

    @property
    def quote(self) -> Quote:
        """Nothing: nobody pays for this machine by the hour."""
        return Quote(on_demand=0.0, market=Market.ON_DEMAND)

    def start(self, names: Sequence[WorkerName], *, market: Market | None = None) -> None:  # noqa: ARG002 - nobody pays
        """Start a process for each name that has none yet."""
        self._notes.identify(self._campaign, self._store.url)
        bundle = self._fetch_bundle()
        with self._notes.held():
            self._adopt()
            for name in names:
                if self._notes.announce(name):
                    self._start(name, bundle)

    def list_workers(self) -> list[SiteWorker]:
        """Return the workers that were started and not yet forgotten."""
        # Before the table of processes is read: whoever held the lock until now has the process in it.
        is_starting = self._notes.is_held()
        if not self._has_adopted or any(self._notes.is_pending(name) for name in self._notes.names()):
            self._adopt()
        return [self._look(name, is_starting=is_starting) for name in self._notes.names()]

    def stop(self, names: Sequence[WorkerName]) -> None:
        """End these workers: TERM, and after a grace time KILL for them and all that they started."""
        if self._notes.names():
            with self._notes.held():
                self._adopt()
        found = [process for name in names if (process := self._process(name)) is not None]
        left = end_processes(found, grace_seconds=self._options.grace_seconds)
        if left:
            raise SiteError(f"processes {_say_pids(left)} do not end, though they were killed")

    def forget(self) -> None:
        """Remove the folder with notes, logs and scratch."""
        self._children.clear()
        self._notes.remove()

    def close(self) -> None:
        """Return at once: what `start` was asked for has been started when it returns."""

    def _fetch_bundle(self) -> Path:
        """Return a copy of the bundle, named after its content."""
        bundle = self._folder / bundle_name(self._bundle_key.split("/")[-2])
        if not bundle.exists():
            self._store.download_file(self._bundle_key, bundle)
        return bundle

    def _start(self, name: WorkerName, bundle: Path) -> None:
        command = WorkerCommand(self._store.url, self._campaign, name, self._folder)
        try:
            with self._notes.log(name).open("ab") as log:
                child = subprocess.Popen(
                    command.words(bundle, self.offer),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=_environment(os.environ),
                    start_new_session=True,
                )
        except OSError as error:
            self._notes.note(name).unlink()
            raise SiteError(f"worker {name} cannot be started on this machine: {error}") from error
        child.returncode = 0  # it outlives us on purpose: psutil waits for it, and Popen need not warn of it
        self._children[name] = psutil.Process(child.pid)
        self._notes.write(name, self._children[name])

    def _adopt(self) -> None:
        """Note the workers whose process nobody noted: their launcher was killed just then, or its folder is gone."""
        for found in find_worker_processes():
            command, is_own = found.command, not found.user
            is_of_campaign = (command.bucket, command.campaign) == (self._store.url, self._campaign)
            if is_own and is_of_campaign and self._notes.is_pending(command.worker):
                self._notes.identify(self._campaign, self._store.url)
                self._notes.write(command.worker, found.process)
        self._has_adopted = True

    def _look(self, name: WorkerName, *, is_starting: bool) -> SiteWorker:
        process = self._process(name)
        if process is not None:
            since = _started_at(process)
            return SiteWorker(name, WorkerState.RUNNING, machine=_machine(), since=since)
        if self._notes.is_pending(name):
            if is_starting:
                return SiteWorker(name, WorkerState.STARTING, machine=_machine())
            return SiteWorker(name, WorkerState.GONE, reason="its launcher ended before it could start it")
        exit_code = self._exit_code(name)
        return SiteWorker(name, WorkerState.GONE, exit_code, self._last_words(name, exit_code), _machine())

    def _process(self, name: WorkerName) -> psutil.Process | None:
        """Return the worker's process if it is alive and still the one that was started."""
        process = self._notes.find(name)
        return None if process is None else self._children.get(name, process)

    def _exit_code(self, name: WorkerName) -> int | None:
        """Return the exit code of a process that has ended, which only the process that started it can know."""
        child = self._children.get(name)
        try:
            ended = child.wait(timeout=0) if child is not None else None
        except psutil.TimeoutExpired:
            return None
        return None if ended is None else int(ended)

    def _last_words(self, name: WorkerName, exit_code: int | None) -> str:
        log = self._notes.log(name)
        try:
            tail = log.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace").strip()
        except OSError:
            tail = ""
        ended = "its process has ended" if exit_code is None else f"its process ended with exit code {exit_code}"
        return f"{ended}; last lines of {log}:\n{tail}" if tail else ended

    def _existing_parent(self) -> Path:
        return next(each for each in [self._folder, *self._folder.parents] if each.exists())


class LocalWorkers:
    """The workers that this machine's sites have started, of all campaigns, as the table of processes shows them."""

    def __init__(self, *, grace_seconds: float = _GRACE_SECONDS) -> None:
        """Describe how they are ended.

        Args:
            grace_seconds: Time between TERM and KILL.
        """
        self._grace_seconds = grace_seconds

    def find_started(self) -> list[Started]:
        """Return them, those of other users too."""
        return [
            Started(
                site="local",
                campaign=found.command.campaign,
                bucket=found.command.bucket,
                worker=found.command.worker,
                reference=f"process {found.process.pid}",
                state=WorkerState.RUNNING,
                machine=_machine(),
                since=found.process.create_time(),
                user=found.user,
            )
            for found in find_worker_processes()
        ]

    def stop_started(self, started: Sequence[Started]) -> None:
        """End these: TERM, and after a grace time KILL for them and all that they started."""
        wanted = {(each.bucket, each.campaign, each.worker) for each in started}
        found = [
            each.process
            for each in find_worker_processes()
            if (each.command.bucket, each.command.campaign, each.command.worker) in wanted and not each.user
        ]
        left = end_processes(found, grace_seconds=self._grace_seconds)
        if left:
            raise SiteError(f"processes {_say_pids(left)} do not end, though they were killed")


def _started_at(process: psutil.Process) -> float | None:
    try:
        return process.create_time()
    except psutil.NoSuchProcess:
        return None


def _machine() -> Machine:
    return Machine(cluster=socket.gethostname(), infra="local", price_per_hour=0.0)


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return what workers and their jobs inherit: all but what tells a Prefect flow run which it is."""
    return {name: value for name, value in own.items() if not name.startswith("PREFECT_")}


def _say_pids(processes: Sequence[psutil.Process]) -> str:
    return ", ".join(str(each.pid) for each in processes)
