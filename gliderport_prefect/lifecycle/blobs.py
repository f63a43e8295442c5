"""Local inputs to content-addressed blobs, each file read once and sent once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gliderport_prefect.errors import UserError
from gliderport_prefect.lifecycle.inputs import LocalInput, find_local, walk_folder
from gliderport_prefect.presets.paths import is_local
from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.jobspec import Input, JobSpec, TreeEntry
from gliderport_prefect.store import hash_file, upload_many

if TYPE_CHECKING:
    from gliderport_prefect.protocol.keys import CampaignKeys
    from gliderport_prefect.store import Store

_PARALLEL_HASHES = 4
_REMEMBERED_FILES = 100_000


class HashedFile(NamedTuple):
    """A file as it was when it was read."""

    path: str
    """Where it is."""
    sha256: str
    """Its content."""
    size_bytes: int
    """Its size."""
    modified_ns: int
    """When it was changed last."""
    executable: bool
    """Whether its owner may execute it."""


class BlobUploader:
    """Brings local inputs of jobs into the bucket and remembers what is there."""

    def __init__(self, store: Store, keys: CampaignKeys) -> None:
        """Begin with nothing known."""
        self._store = store
        self._keys = keys
        self._hashed: OrderedDict[str, HashedFile] = OrderedDict()
        self._present: set[bytes] | None = None

    def bring(self, jobs: Sequence[JobSpec]) -> Iterator[JobSpec]:
        """Upload the local inputs of the jobs, then yield the jobs with these inputs in place of the paths.

        Raises:
            UserError: An input is gone, cannot be read, or changes while it is read.
            StoreError: The bucket cannot be used.
        """
        found = {given: find_local(given) for job in jobs for given in job.inputs if is_local(given.source)}
        if not found:
            yield from jobs
            return
        files = self._hash({path for inputs in found.values() for each in inputs for path in _paths(each)})
        self._upload(files.values())
        replaced = {given: tuple(self._replace(each, files) for each in inputs) for given, inputs in found.items()}
        for job in jobs:
            inputs = tuple(each for given in job.inputs for each in replaced.get(given, (given,)))
            yield replace(job, inputs=inputs) if job.inputs else job

    def _hash(self, paths: set[str]) -> dict[str, HashedFile]:
        with ThreadPoolExecutor(_PARALLEL_HASHES, thread_name_prefix="hash") as pool:
            hashed = {file.path: file for file in pool.map(self._hash_one, sorted(paths))}
        for path, file in hashed.items():
            self._hashed[path] = file
            self._hashed.move_to_end(path)
        while len(self._hashed) > _REMEMBERED_FILES:
            self._hashed.popitem(last=False)
        return hashed

    def _hash_one(self, path: str) -> HashedFile:
        try:
            before = Path(path).stat()
            known = self._hashed.get(path)
            if known is not None and (known.size_bytes, known.modified_ns) == (before.st_size, before.st_mtime_ns):
                return known
            executable = bool(before.st_mode & 0o100)
            return HashedFile(path, hash_file(Path(path)), before.st_size, before.st_mtime_ns, executable)
        except OSError as error:
            raise UserError(f"the input {path} cannot be read: {error.strerror}") from None

    def _upload(self, files: Iterable[HashedFile]) -> None:
        """Send what is not there, and make sure that no blob holds what its name does not say."""
        missing = {file.sha256: file for file in files if not self._is_present(file.sha256)}
        pairs = [(Path(file.path), self._keys.blob(file.sha256)) for file in missing.values()]
        try:
            upload_many(self._store, pairs)
        except OSError as error:
            raise UserError(f"the input {error.filename} cannot be read: {error.strerror}") from None
        finally:
            changed = [file for file in missing.values() if _has_changed(file)]
            if changed:
                self._store.delete([self._keys.blob(file.sha256) for file in changed])
        if changed:
            raise UserError(
                f"the input {changed[0].path} changed while it was uploaded",
                hint="run it again when nothing writes to it any more",
            )
        self._blobs().update(bytes.fromhex(file) for file in missing)

    def _replace(self, given: LocalInput, files: dict[str, HashedFile]) -> Input:
        if not given.is_folder:
            file = files[given.path]
            return Input(f"blob:{file.sha256}", given.target, file.size_bytes, file.executable)
        entries = tuple(_entry(files[each.path], each.below) for each in walk_folder(given.path))
        data = codec.encode(entries)
        name = sha256(data).hexdigest()
        if not self._is_present(name):
            self._store.create(self._keys.blob(name), data)
            self._blobs().add(bytes.fromhex(name))
        return Input(f"tree:{name}", given.target, sum(entry.size_bytes for entry in entries))

    def _is_present(self, name: str) -> bool:
        return bytes.fromhex(name) in self._blobs()

    def _blobs(self) -> set[bytes]:
        """Return the contents that are in the bucket, as the first look at it and our own uploads say."""
        if self._present is None:
            names = (stored.key.rpartition("/")[2] for stored in self._store.list(self._keys.blobs))
            self._present = {bytes.fromhex(name) for name in names}
        return self._present


def _paths(given: LocalInput) -> Iterator[str]:
    if given.is_folder:
        yield from (each.path for each in walk_folder(given.path))
    else:
        yield given.path


def _entry(file: HashedFile, below: str) -> TreeEntry:
    return TreeEntry(below, file.sha256, file.size_bytes, file.executable)


def _has_changed(file: HashedFile) -> bool:
    try:
        now = Path(file.path).stat()
    except OSError:
        return True
    return (now.st_size, now.st_mtime_ns) != (file.size_bytes, file.modified_ns)
