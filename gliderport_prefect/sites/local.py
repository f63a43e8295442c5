"""Workers as processes of this machine.

They outlive the launcher: a file per worker tells the next launcher of the same campaign which process it is.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from gliderport_prefect.errors import SiteError
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.protocol.resources import Offer
from gliderport_prefect.sites.seam import Machine, Market, Quote, SiteWorker, WorkerState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gliderport_prefect.store import Store

_TAIL_BYTES = 2000
"""How much of a dead worker's log is shown."""
_SAME_PROCESS_SECONDS = 1.0
"""Start times of one process, read twice, differ by less."""


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
    grace_seconds: float = 15.0
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
        self._folder, self._store, self._bundle_key, self._campaign = folder, store, bundle_key, campaign
        self._options = options
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
        return Quote(on_demand=0.0)

    def start(self, names: Sequence[WorkerName], *, market: Market | None = None) -> None:  # noqa: ARG002 - nobody pays
        """Start a process for each name that has none yet."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        bundle = self._fetch_bundle()
        for name in names:
            if not self._note(name).exists():
                self._start(name, bundle)

    def list_workers(self) -> list[SiteWorker]:
        """Return the workers that were started and not yet forgotten."""
        notes = sorted(self._folder.glob("*.json")) if self._folder.exists() else []
        return [self._look(WorkerName(note.stem)) for note in notes]

    def stop(self, names: Sequence[WorkerName]) -> None:
        """End these workers: TERM, and after a grace time KILL for them and all that they started."""
        found = [process for name in names if (process := self._process(name)) is not None]
        for process in found:
            _quietly(process.terminate)
        for process in _wait(found, self._options.grace_seconds):
            _kill_tree(process)
        _wait(found, self._options.grace_seconds)

    def forget(self) -> None:
        """Remove the folder with notes, logs and scratch."""
        self._children.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _fetch_bundle(self) -> Path:
        """Return a copy of the bundle, named after its content."""
        bundle = self._folder / f"worker-{self._bundle_key.split('/')[-2][:16]}.pyz"
        if not bundle.exists():
            self._store.download_file(self._bundle_key, bundle)
        return bundle

    def _start(self, name: WorkerName, bundle: Path) -> None:
        offer = self.offer
        command = [sys.executable, str(bundle), "--bucket", self._store.url, "--campaign", self._campaign]
        command += ["--name", name, "--scratch", str(self._folder / "scratch" / name), "--cpus", f"{offer.cpus:g}"]
        command += ["--memory", str(offer.memory_bytes), "--gpus", str(offer.gpus)]
        try:
            with self._log(name).open("ab") as log:
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=_environment(os.environ),
                    start_new_session=True,
                )
        except OSError as error:
            raise SiteError(f"worker {name} cannot be started on this machine: {error}") from error
        child.returncode = 0  # it outlives us on purpose: psutil waits for it, and Popen need not warn of it
        self._children[name] = psutil.Process(child.pid)
        started_at = self._children[name].create_time()
        beside = self._note(name).with_suffix(".part")  # whoever reads a note reads a whole one
        beside.write_text(json.dumps({"pid": child.pid, "started_at": started_at}), encoding="utf-8")
        beside.replace(self._note(name))

    def _look(self, name: WorkerName) -> SiteWorker:
        if self._process(name) is not None:
            return SiteWorker(name, WorkerState.RUNNING, machine=_machine())
        exit_code = self._exit_code(name)
        return SiteWorker(name, WorkerState.GONE, exit_code, self._last_words(name, exit_code), _machine())

    def _process(self, name: WorkerName) -> psutil.Process | None:
        """Return the worker's process if it is alive and still the one that was started."""
        try:
            note = json.loads(self._note(name).read_text(encoding="utf-8"))
            process = psutil.Process(note["pid"])
            same = abs(process.create_time() - note["started_at"]) < _SAME_PROCESS_SECONDS
            if not same or process.status() == psutil.STATUS_ZOMBIE:
                return None
            return self._children.get(name, process)
        except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
            return None

    def _exit_code(self, name: WorkerName) -> int | None:
        """Return the exit code of a process that has ended, which only the process that started it can know."""
        child = self._children.get(name)
        try:
            ended = child.wait(timeout=0) if child is not None else None
        except psutil.TimeoutExpired:
            return None
        return None if ended is None else int(ended)

    def _last_words(self, name: WorkerName, exit_code: int | None) -> str:
        try:
            tail = self._log(name).read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace").strip()
        except OSError:
            tail = ""
        ended = "its process has ended" if exit_code is None else f"its process ended with exit code {exit_code}"
        return f"{ended}; last lines of {self._log(name)}:\n{tail}" if tail else ended

    def _note(self, name: WorkerName) -> Path:
        return self._folder / f"{name}.json"

    def _log(self, name: WorkerName) -> Path:
        return self._folder / f"{name}.log"

    def _existing_parent(self) -> Path:
        return next(each for each in [self._folder, *self._folder.parents] if each.exists())


def _machine() -> Machine:
    return Machine(cluster=socket.gethostname(), infra="local", price_per_hour=0.0)


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return what workers and their jobs inherit: all but what tells a Prefect flow run which it is."""
    return {name: value for name, value in own.items() if not name.startswith("PREFECT_")}


def _wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until these have ended, and return those that have not after that time."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return alive


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
