"""Who uses the rig: test sessions while they run, and a person who asked for it; the last to leave ends it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.skypilot.rig.stand import Rig

_PERSON = "person"


def move_in(rig: Rig) -> None:
    """Bring the rig up for this process, which will move out."""
    _bring_up(rig, str(os.getpid()))


def move_in_person(rig: Rig) -> None:
    """Bring the rig up for a person, who will end it."""
    _bring_up(rig, _PERSON)


def move_out(rig: Rig) -> None:
    """Take the note away, and end the rig when nobody else uses it."""
    with _locked(rig):
        (_notes_of(rig) / str(os.getpid())).unlink(missing_ok=True)
        _end_unused(rig)


def _bring_up(rig: Rig, tenant: str) -> None:
    with _locked(rig):
        try:
            rig.up()
        except BaseException:
            _end_unused(rig)
            raise
        (_notes_of(rig) / tenant).touch()


def _end_unused(rig: Rig) -> None:
    if not any(_is_there(note.name) for note in _notes_of(rig).iterdir()):
        rig.down()


def _notes_of(rig: Rig) -> Path:
    notes = rig.folder.run / "tenants"
    notes.mkdir(exist_ok=True)
    return notes


def _is_there(tenant: str) -> bool:
    return tenant == _PERSON or psutil.pid_exists(int(tenant))


@contextmanager
def _locked(rig: Rig) -> Generator[None]:
    """Let one process at a time bring the rig up or down."""
    rig.folder.make()
    with (rig.folder.root / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
