"""Puts a job's inputs into its working folder before its command starts.

An object named by a URI is taken not to change while the worker lives, as long as it keeps its size.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from gliderport_prefect.errors import GliderportError, StoreKeyMissing, UserError
from gliderport_prefect.protocol.codec import from_wire
from gliderport_prefect.protocol.jobspec import Input, TreeEntry
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.store.seam import Store
from vm_worker.cache import Cache
from vm_worker.copying import copy_file
from vm_worker.fetching import fetch_url, is_web
from vm_worker.places import Places, local_path

_BLOB, _TREE = "blob:", "tree:"
_PARALLEL = 8


class InputMissing(GliderportError):
    """An input of a job is not there or cannot be read."""


@dataclass(frozen=True)
class Piece:
    """One file to be put into the working folder."""

    name: str
    """Names its content in the cache; empty for a local file, which is not cached."""
    target: str
    """Path in the working folder."""
    fetch: Callable[[Path], int]
    """Writes it to a path and returns its size."""
    size_bytes: int | None = None
    """Its size, where known."""
    executable: bool = False
    """Whether it may be executed."""


class Pantry:
    """Finds inputs, fetches them once, and lays them out."""

    def __init__(self, store: Store, keys: CampaignKeys, *, cache: Cache, places: Places) -> None:
        self._store = store
        self._keys = keys
        self._cache = cache
        self._places = places

    def lay_out(self, inputs: Iterable[Input], work: Path) -> int:
        """Put the inputs into the working folder and return how many bytes were fetched for that.

        Raises:
            InputMissing: One is not there or cannot be read.
            OSError: The local disk does not take it.
        """
        return sum(self._lay_out_one(each, work) for each in inputs)

    def _lay_out_one(self, given: Input, work: Path) -> int:
        try:
            pieces = list(self._find_pieces(given))
            if len(pieces) == 1:
                return self._place(pieces[0], work)
            with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="stage-in") as pool:
                return sum(pool.map(partial(self._place, work=work), pieces))
        except InputMissing:
            raise
        except (GliderportError, ValueError, TypeError) as error:
            raise InputMissing(f"input {given.source}: {error}") from error

    def _find_pieces(self, given: Input) -> Iterator[Piece]:
        source = given.source
        if source.startswith(_BLOB):
            return iter([self._blob(source.removeprefix(_BLOB), target=_target_of(given), given=given)])
        if source.startswith(_TREE):
            return self._tree(source.removeprefix(_TREE), given)
        if is_web(source):
            return iter([Piece(source, _target_of(given), partial(fetch_url, source))])
        path = local_path(source)
        return self._objects(given) if path is None else _local_files(given, path)

    def _blob(self, sha256: str, *, target: str, given: Input | TreeEntry) -> Piece:
        fetch = partial(self._store.download_file, self._keys.blob(sha256))
        return Piece(_BLOB + sha256, target, fetch, given.size_bytes, given.executable)

    def _tree(self, sha256: str, given: Input) -> Iterator[Piece]:
        fetch = partial(self._store.download_file, self._keys.blob(sha256))
        with self._cache.hold(_BLOB + sha256, fetch) as held:
            text = held.path.read_bytes()
        below = given.target or "."
        for line in json.loads(text):
            entry = from_wire(TreeEntry, line)
            yield self._blob(entry.sha256, target=f"{below}/{entry.path}", given=entry)

    def _objects(self, given: Input) -> Iterator[Piece]:
        place = self._places.locate(given.source)
        store, target = place.store, _target_of(given)
        if not given.source.endswith("/"):
            size_bytes = store.size_bytes_of(place.prefix)
            if size_bytes is None:
                raise StoreKeyMissing(f"there is no such object in {store.url}")
            fetch = partial(store.download_file, place.prefix)
            return iter([Piece(f"{given.source} {size_bytes}", target, fetch, size_bytes, given.executable)])
        found = store.list(place.prefix)
        if not found:
            raise StoreKeyMissing(f"there is nothing below it in {store.url}")
        start = len(place.prefix) + 1 if place.prefix else 0
        return (
            Piece(
                f"{store.url}/{each.key} {each.size_bytes}",
                f"{target}/{each.key[start:]}",
                partial(store.download_file, each.key),
                each.size_bytes,
            )
            for each in found
        )

    def _place(self, piece: Piece, work: Path) -> int:
        target = find_inside(work, piece.target)
        if not piece.name:
            return piece.fetch(target)
        if piece.size_bytes is not None and piece.size_bytes > self._cache.limit_bytes:
            size_bytes = piece.fetch(target)
            target.chmod(0o755 if piece.executable else 0o644)
            return size_bytes
        with self._cache.hold(piece.name, piece.fetch) as held:
            copy_file(held.path, target, executable=piece.executable)
            return held.fetched_bytes


def find_inside(work: Path, target: str) -> Path:
    """Return the path of an input in the working folder, with its parent folders made.

    Raises:
        UserError: It would be outside of it, or something else is there already.
    """
    parts = PurePosixPath(target).parts
    if not parts or target.startswith("/") or ".." in parts:
        raise UserError(f"the target {target!r} is not inside of the working folder")
    path = work.joinpath(*parts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"the target {target!r} goes through another input, which is a file") from error
    if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(work)):
        raise UserError(f"the target {target!r} leads out of the working folder")
    if path.exists():
        raise UserError(f"two inputs have the target {target!r}")
    return path


def _target_of(given: Input) -> str:
    if given.target is not None:
        return given.target
    return given.source.rstrip("/").partition("?")[0].rpartition("/")[2]


def _local_files(given: Input, path: Path) -> Iterator[Piece]:
    target = _target_of(given)
    if path.is_file():
        yield Piece("", target, partial(_copy_local, path))
        return
    if not path.is_dir():
        raise InputMissing(f"input {given.source}: this machine has no such file or folder")
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            yield Piece("", f"{target}/{file.relative_to(path).as_posix()}", partial(_copy_local, file))


def _copy_local(source: Path, target: Path) -> int:
    try:
        copy_file(source, target, executable=os.access(source, os.X_OK))
    except (FileNotFoundError, PermissionError) as error:
        raise InputMissing(f"input {source}: {error.strerror}") from error
    return target.stat().st_size
