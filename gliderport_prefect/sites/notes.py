"""What the site of this machine remembers of one campaign's workers: a folder, with a file for each worker.

<folder>/campaign      whose workers these are: campaign and bucket
<folder>/lock          held while workers are started, so that nobody mistakes one that is under way for none
<folder>/<name>.json   written empty before the worker's process begins, and with its number when it runs
<folder>/<name>.log    what the worker says
<folder>/scratch/      the workers' local disks
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from gliderport_prefect.errors import SiteError
from gliderport_prefect.protocol.ids import CampaignId, WorkerName

_SAME_PROCESS_SECONDS = 1.0
"""Start times of one process, read twice, differ by less."""
_LOCK_PATIENCE_SECONDS = 30.0
"""To start workers takes milliseconds; whoever holds the lock for longer is stopped or broken."""
_LOCK_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Notes:
    """The folder of one campaign."""

    folder: Path
    """Where it is."""

    def identify(self, campaign: str, bucket: str) -> None:
        """Make the folder, and write down whose it is."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._identity.exists():
            _write(self._identity, {"campaign": campaign, "bucket": bucket})

    def identity(self) -> tuple[CampaignId, str] | None:
        """Return the campaign and the bucket; none when an older version made the folder."""
        found = _read(self._identity)
        campaign, bucket = found.get("campaign"), found.get("bucket")
        return (CampaignId(campaign), bucket) if isinstance(campaign, str) and isinstance(bucket, str) else None

    def names(self) -> list[WorkerName]:
        """Return the workers that were started, or about to be."""
        return [WorkerName(note.stem) for note in sorted(self.folder.glob("*.json"))]

    def announce(self, name: WorkerName) -> bool:
        """Note that the worker is about to be started; say no when it has been before."""
        try:
            self.note(name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def write(self, name: WorkerName, process: psutil.Process) -> None:
        """Note which process the worker is."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(self.note(name), {"pid": process.pid, "started_at": process.create_time()})

    def is_pending(self, name: WorkerName) -> bool:
        """Say whether the worker was about to be started and nobody noted its process."""
        return "pid" not in _read(self.note(name))

    def find(self, name: WorkerName) -> psutil.Process | None:
        """Return the worker's process if it is alive and still the one that was started."""
        note = _read(self.note(name))
        try:
            process = psutil.Process(note["pid"])
            same = abs(process.create_time() - note["started_at"]) < _SAME_PROCESS_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (KeyError, TypeError, ValueError, psutil.NoSuchProcess):
            return None

    def remove(self) -> None:
        """Remove the folder with notes, logs and scratch."""
        if self.folder.exists():
            with self.held():
                shutil.rmtree(self.folder, ignore_errors=True)

    def note(self, name: WorkerName) -> Path:
        """Return the file that says which process the worker is."""
        return self.folder / f"{name}.json"

    def log(self, name: WorkerName) -> Path:
        """Return the file that takes what the worker says."""
        return self.folder / f"{name}.log"

    # --- the lock -----------------------------------------------------------------------------------------------

    @contextmanager
    def held(self) -> Generator[None]:
        """Hold the folder: nobody else starts workers there meanwhile.

        The lock goes with the process that holds it. A process that it had begun to start has then either its own
        command line or is none.

        Raises:
            SiteError: Somebody else holds it for too long.
        """
        deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
        while (descriptor := self._try_lock()) is None:
            if time.monotonic() > deadline:
                raise SiteError(
                    f"another process has been starting workers in {self.folder} for more than "
                    f"{_LOCK_PATIENCE_SECONDS:g} s: end it, and try again"
                )
            time.sleep(_LOCK_POLL_SECONDS)
        try:
            yield
        finally:
            os.close(descriptor)

    def is_held(self) -> bool:
        """Say whether somebody starts workers at this moment."""
        try:
            descriptor = os.open(self._lock, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _try_lock(self) -> int | None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(self._lock, os.O_CREAT | os.O_RDWR, 0o600)
        except FileNotFoundError:  # the folder was removed in between
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino == self._lock.stat().st_ino:
                return descriptor
        except OSError:
            pass
        os.close(descriptor)
        return None

    @property
    def _lock(self) -> Path:
        return self.folder / "lock"

    @property
    def _identity(self) -> Path:
        return self.folder / "campaign"


def list_notes(root: Path) -> Iterator[Notes]:
    """Yield the folders of all campaigns."""
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        if folder.is_dir():
            yield Notes(folder)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _write(path: Path, content: dict[str, Any]) -> None:
    beside = path.with_name(f"{path.name}.part")  # whoever reads it reads a whole one
    beside.write_text(json.dumps(content), encoding="utf-8")
    beside.replace(path)
