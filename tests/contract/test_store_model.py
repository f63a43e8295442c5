"""Any sequence of calls does what it would do to a dict."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gliderport_prefect.store import Store, StoredObject, open_store

# No key is the prefix of another: that is the one thing which a folder cannot hold.
_KEYS = st.builds("{}/{}/{}".format, st.sampled_from("ab"), st.sampled_from(["x", "xy", "ü z"]), st.integers(0, 3))
_PREFIXES = st.sampled_from(["", "a", "a/", "a/x", "b/xy", "b/ü z/", "a/x/1", "missing"])
_CONTENT = st.binary(max_size=20)


class StoreMachine(RuleBasedStateMachine):
    """A store beside a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, bytes] = {}
        self.store = self.open_empty_store()

    def open_empty_store(self) -> Store:
        return open_store("memory://")

    @rule(key=_KEYS, content=_CONTENT)
    def create(self, key: str, content: bytes) -> None:
        standing = self.model.setdefault(key, content)
        assert self.store.create(key, content) == (None if standing == content else standing)

    @rule(key=_KEYS, content=_CONTENT)
    def upload(self, key: str, content: bytes) -> None:
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(content)
            assert self.store.upload_file(Path(file.name), key) == len(content)
        self.model[key] = content

    @rule(keys=st.lists(_KEYS, max_size=4))
    def delete(self, keys: list[str]) -> None:
        self.store.delete(keys)
        for key in keys:
            self.model.pop(key, None)

    @rule(key=_KEYS)
    def get(self, key: str) -> None:
        assert self.store.get(key) == self.model.get(key)

    @rule(key=_KEYS)
    def measure(self, key: str) -> None:
        assert self.store.size_bytes_of(key) == (len(self.model[key]) if key in self.model else None)

    @rule(prefix=_PREFIXES)
    def list_below(self, prefix: str) -> None:
        below = f"{prefix.rstrip('/')}/" if prefix else ""
        expected = [StoredObject(key, len(self.model[key])) for key in sorted(self.model) if key.startswith(below)]
        assert self.store.list(prefix) == expected

    @invariant()
    def all_keys_are_listed(self) -> None:
        assert [stored.key for stored in self.store.list()] == sorted(self.model)


class FolderMachine(StoreMachine):
    """The same over a folder."""

    def open_empty_store(self) -> Store:
        self.folder = tempfile.TemporaryDirectory()
        return open_store(self.folder.name)

    def teardown(self) -> None:
        self.folder.cleanup()


TestMemory = StoreMachine.TestCase
TestMemory.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestFolder = FolderMachine.TestCase
TestFolder.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
