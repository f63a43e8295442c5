"""What a job's checkpoint folder holds, and a copy of it of one moment, though the job goes on writing.

Files are first linked into a staging folder, then the folder is looked at once more: what is the same both times stood
there together at one moment. Links pin files that the job replaces by renaming; a file that is written in place while
it is copied is noticed by its size and time.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vm_worker.copying import copy_file
from vm_worker.scratch import remove_tree

UNFINISHED = (".tmp", ".part")
"""A job that writes `x.tmp` and renames it to `x` never has half of `x` saved; these names are left out."""
_PAUSES_SECONDS = (0.0, 0.03, 0.1, 0.3, 1.0)
# File systems note times by the kernel's tick, up to 10 ms; a file that was written this moment may change unseen.
_TICK_NS = 20_000_000


class Unsettled(Exception):
    """The folder changed while it was looked at."""


class Unusable(Exception):
    """There is no such folder, or it leads elsewhere."""


@dataclass(frozen=True)
class Mark:
    """What tells that a file was written to."""

    size_bytes: int
    """Its size."""
    mtime_ns: int
    """When it was last written."""
    mode: int
    """Its permissions."""
    inode: int
    """Which file it is."""


@dataclass(frozen=True)
class Survey:
    """Everything in the folder, by path below it."""

    files: Mapping[str, Mark] = field(default_factory=dict[str, Mark])
    """Regular files."""
    links: Mapping[str, str] = field(default_factory=dict[str, str])
    """Symbolic links that stay within, and what they say."""
    folders: tuple[str, ...] = ()
    """Folders without anything in them."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing at all."""
        return not (self.files or self.links or self.folders)


@dataclass(frozen=True)
class Quiet:
    """The job's processes have ended: nothing need be copied."""

    doubt_from_ns: float = math.inf
    """Since when, by the files' clock, a write may have been cut off, because the processes were killed."""


@dataclass(frozen=True)
class Snapshot:
    """The folder at one moment."""

    survey: Survey
    """What there was."""
    copies: Mapping[str, Path]
    """Where the files that are not known are to be read, by path."""


def survey(folder: str) -> Survey:
    """Return what the folder holds.

    Pipes, sockets, devices, links that lead out of the folder, and names that say `unfinished` are left out.

    Raises:
        Unsettled: Something vanished meanwhile.
        Unusable: The folder is not there or leads elsewhere.
        OSError: Something in it cannot be read.
    """
    if not stat.S_ISDIR(_mode(folder)):
        raise Unusable(f"{folder} is no folder")
    files, links, empty = dict[str, Mark](), dict[str, str](), list[str]()
    root = os.path.realpath(folder)
    try:
        for path, entries in _walk(folder, ""):
            if path and not entries:
                empty.append(path)
            for entry in entries:
                _note(entry, f"{path}/{entry.name}" if path else entry.name, root=root, files=files, links=links)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Unsettled(str(error)) from error
    return Survey(dict(sorted(files.items())), dict(sorted(links.items())), tuple(sorted(empty)))


def take_snapshot(
    folder: str, staging: Path, *, known: Mapping[str, Mark], quiet: Quiet | None = None
) -> Snapshot | None:
    """Return the folder at one moment; none when it does not stand still for long enough.

    Args:
        folder: Which.
        staging: An own place on the same disk, emptied first.
        known: Files that need not be copied while they bear these marks.
        quiet: That nobody writes there any more; none while somebody may.

    Raises:
        Unusable: The folder is not there or leads elsewhere.
        OSError: Something in it cannot be read, or the disk is full.
    """
    for pause in _PAUSES_SECONDS:
        time.sleep(pause)
        with suppress(Unsettled):
            return _take(folder, staging, known=known, quiet=quiet)
    return None


def _take(folder: str, staging: Path, *, known: Mapping[str, Mark], quiet: Quiet | None) -> Snapshot | None:
    if staging.exists():
        remove_tree(staging)
    staging.mkdir(mode=0o700)
    first = survey(folder)
    if quiet is not None and any(mark.mtime_ns >= quiet.doubt_from_ns for mark in first.files.values()):
        return None
    wanted = {path: mark for path, mark in first.files.items() if known.get(path) != mark}
    pinned = {path: _pin(f"{folder}/{path}", staging / f"{number}.pin") for number, path in enumerate(wanted)}
    if survey(folder) != first:
        raise Unsettled(f"{folder} changes")
    if quiet is not None:
        return Snapshot(first, pinned)
    _wait_for_tick(wanted)
    copies = {path: staging / str(number) for number, path in enumerate(wanted)}
    for path, copy in copies.items():
        _copy(pinned[path], copy, mark=wanted[path])
    return Snapshot(first, copies)


def _pin(path: str, pin: Path) -> Path:
    """Return a name of the file that stays when the job replaces the file; where there can be none, its own."""
    try:
        os.link(path, pin, follow_symlinks=False)
    except FileNotFoundError as error:
        raise Unsettled(str(error)) from error
    except OSError:
        # Another file system, or one without hard links.
        return Path(path)
    return pin


def _wait_for_tick(wanted: Mapping[str, Mark]) -> None:
    newest = max((mark.mtime_ns for mark in wanted.values()), default=0)
    if abs(time.time_ns() - newest) < _TICK_NS:
        time.sleep(_TICK_NS / 1e9)


def _copy(pinned: Path, copy: Path, *, mark: Mark) -> None:
    try:
        copy_file(pinned, copy, executable=False)
        after = _mark(os.lstat(pinned))
    except FileNotFoundError as error:
        raise Unsettled(str(error)) from error
    if after != mark or copy.stat().st_size != mark.size_bytes:
        raise Unsettled(f"{pinned} was written to")
    if pinned.parent == copy.parent:
        pinned.unlink()


def _walk(folder: str, path: str) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    with os.scandir(f"{folder}/{path}" if path else folder) as found:
        entries = [each for each in found if not each.name.endswith(UNFINISHED)]
    yield path, entries
    for each in entries:
        if each.is_dir(follow_symlinks=False):
            yield from _walk(folder, f"{path}/{each.name}" if path else each.name)


def _note(entry: os.DirEntry[str], path: str, *, root: str, files: dict[str, Mark], links: dict[str, str]) -> None:
    if entry.is_symlink():
        target = _target_within(entry.path, root)
        if target is not None:
            links[path] = target
    elif entry.is_file(follow_symlinks=False):
        # Not `entry.stat()`, which may tell what it saw while the folder was listed.
        files[path] = _mark(os.lstat(entry.path))


def _target_within(link: str, root: str) -> str | None:
    """Return what the link is to say where it is restored, or none if it leads out of the folder."""
    real = os.path.realpath(link)
    if real != root and not real.startswith(f"{root}/"):
        return None
    here, said = os.path.realpath(os.path.dirname(link)), os.readlink(link)
    # It may climb out and come back in by the names of this machine.
    plain = os.path.normpath(os.path.join(os.path.relpath(here, root), said))
    is_within = not os.path.isabs(said) and plain.partition("/")[0] != ".."
    is_plain = is_within and os.path.realpath(os.path.join(root, plain)) == real
    return said if is_plain else os.path.relpath(real, here)


def _mark(known: os.stat_result) -> Mark:
    return Mark(known.st_size, known.st_mtime_ns, stat.S_IMODE(known.st_mode) & 0o777, known.st_ino)


def _mode(folder: str) -> int:
    try:
        return os.lstat(folder).st_mode
    except OSError as error:
        raise Unusable(str(error)) from error
