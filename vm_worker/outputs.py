"""Which files of a working folder are a job's outputs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gliderport_prefect.protocol.jobspec import Checkpoint, Output
from vm_worker.patterns import EVERYTHING, matches, matches_any

Stamp = tuple[int, int, int]
"""Inode, size and time of change: what tells that a file was written to."""


@dataclass(frozen=True)
class Chosen:
    """One file that goes somewhere."""

    path: str
    """Path in the working folder, and below the destination."""
    file: Path
    """Where it is now."""
    output: Output
    """The entry that chose it."""


class OutputMissing(Exception):
    """A pattern of the spec matches no file."""


def list_files(work: Path) -> dict[str, Stamp]:
    """Return the files below the folder with their stamps; links that lead out of it are left out."""
    root = os.path.realpath(work)
    found: dict[str, Stamp] = {}
    for folder, _, names in os.walk(work):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path) and not os.path.realpath(path).startswith(f"{root}/"):
                continue
            known = _stat(path)
            if known is not None and stat.S_ISREG(known.st_mode):
                found[os.path.relpath(path, work)] = (known.st_ino, known.st_size, known.st_mtime_ns)
    return found


def choose_outputs(
    outputs: Iterable[Output], work: Path, *, inputs: Mapping[str, Stamp], checkpoint: Checkpoint | None = None
) -> list[Chosen]:
    """Return the files that the spec asks for.

    Args:
        outputs: The spec's.
        work: The working folder after the command.
        inputs: The files in it before the command.
        checkpoint: The spec's; `**` does not mean what is in its folder.

    Raises:
        OutputMissing: A pattern other than `**` matches nothing.
    """
    found = list_files(work)
    left_out = {path for path, stamp in inputs.items() if found.get(path) == stamp}
    if checkpoint is not None:
        left_out |= {path for path in found if Path(checkpoint.folder) in Path(path).parents}
    return [chosen for each in outputs for chosen in _choose(each, work, found=found, left_out=left_out)]


def choose_kept(outputs: Iterable[Output], work: Path) -> list[Chosen]:
    """Return the files that the spec wants kept of a failed attempt."""
    found = list_files(work)
    chosen = {
        path: Chosen(path, work / path, each)
        for each in outputs
        for path in sorted(found)
        if matches_any(each.keep_on_failure, path)
    }
    return list(chosen.values())


def _choose(output: Output, work: Path, *, found: Iterable[str], left_out: set[str]) -> list[Chosen]:
    candidates = [path for path in sorted(found) if not matches_any(output.exclude, path)]
    chosen: set[str] = set()
    for pattern in output.include:
        matching = {path for path in candidates if matches(pattern, path)}
        if pattern == EVERYTHING:
            matching -= left_out
        elif not matching:
            raise OutputMissing(f"the command succeeded but left no file that matches the output pattern {pattern!r}")
        chosen |= matching
    return [Chosen(path, work / path, output) for path in sorted(chosen)]


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
