"""Puts the newest checkpoint that can be had in full into the folder where the next attempt looks for it."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gliderport_prefect.errors import StoreKeyMissing
from gliderport_prefect.protocol.records import SavedCheckpoint, SavedFile
from gliderport_prefect.store.transfer import download_many, hash_file
from vm_worker.checkpoint_shelf import Shelf, Shelved
from vm_worker.copying import copy_file
from vm_worker.logbook import Event, note_trouble
from vm_worker.scratch import remove_tree

_PARALLEL = 8


class _Broken(Exception):
    """A checkpoint cannot be had as it was saved."""


@dataclass(frozen=True)
class Restored:
    """What an attempt begins with."""

    shelved: Shelved
    """Which checkpoint."""
    size_bytes: int
    """What was fetched for it."""


def restore(shelf: Shelf, folder: Path, *, staging: Path) -> Restored | None:
    """Replace the folder by the newest checkpoint that is whole; leave it as it is when there is none.

    Args:
        shelf: The job's checkpoints.
        folder: Where its content is to be.
        staging: An own place on the same disk.

    Raises:
        StoreError: The bucket does not answer.
        OSError: The local disk does not take it.
    """
    broken: set[int] = set()
    # A worker that does not know that it is lost may delete one while it is read; then there is a newer one.
    while found := [each for each in shelf.list_newest_first() if each.number not in broken]:
        newest = found[0]
        try:
            return Restored(newest, _fetch(shelf, newest.record, folder=folder, staging=staging))
        except _Broken as error:
            broken.add(newest.number)
            note_trouble(Event.ATTEMPT_TROUBLE, f"checkpoint {newest.number} is passed over: {error}")
    return None


def _fetch(shelf: Shelf, record: SavedCheckpoint, *, folder: Path, staging: Path) -> int:
    if staging.exists():
        remove_tree(staging)
    tree = staging / "tree"
    tree.mkdir(parents=True, mode=0o700)
    contents = {file.key: staging / str(number) for number, file in enumerate(record.files)}
    try:
        size_bytes = download_many(shelf.store, contents.items(), parallel=_PARALLEL)
    except StoreKeyMissing as error:
        raise _Broken(str(error)) from error
    uses = Counter(file.key for file in record.files)
    for file in record.files:
        _place(file, contents[file.key], tree=tree, is_shared=uses[file.key] > 1)
    _add_rest(record, tree)
    # Only now, so that the folder is never something between the two.
    remove_tree(folder)
    tree.rename(folder)
    remove_tree(staging)
    return size_bytes


def _place(file: SavedFile, content: Path, *, tree: Path, is_shared: bool) -> None:
    if content.stat().st_size != file.size_bytes or hash_file(content) != file.sha256:
        raise _Broken(f"{file.key} is not what was saved")
    target = _inside(tree, file.path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise _Broken(f"something is in the way of the path {file.path!r}") from error
    if target.exists():
        raise _Broken(f"two things have the path {file.path!r}")
    if is_shared:
        copy_file(content, target, executable=False)
    else:
        content.rename(target)
    target.chmod(file.mode & 0o777)
    os.utime(target, ns=(file.mtime_ns, file.mtime_ns))


def _add_rest(record: SavedCheckpoint, tree: Path) -> None:
    """Add empty folders, and links last of all, so that nothing is written through one."""
    try:
        for path in record.folders:
            _inside(tree, path).mkdir(parents=True, exist_ok=True)
        links = [(_inside(tree, link.path), link.target) for link in record.links]
        for path, target in links:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)
    except (FileExistsError, NotADirectoryError) as error:
        raise _Broken(f"two things have one path: {error}") from error
    root = os.path.realpath(tree)
    for path, target in links:
        if not f"{os.path.realpath(path)}/".startswith(f"{root}/"):
            raise _Broken(f"the link {path.relative_to(tree)} leads out of the folder, to {target!r}")


def _inside(tree: Path, path: str) -> Path:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise _Broken(f"the path {path!r} leads out of the folder")
    return tree.joinpath(*parts)
