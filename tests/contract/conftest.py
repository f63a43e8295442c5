"""The stores that every test of the store's contract runs against."""

from __future__ import annotations

from pathlib import Path

import pytest

from gliderport_prefect.store import Store, open_store
from tests.s3server import S3Root


@pytest.fixture(params=["memory", "folder", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Give an empty store of each kind."""
    match request.param:
        case "memory":
            return open_store("memory://")
        case "folder":
            return open_store(tmp_path / "a store", makes_root=True)
        case _:
            root: S3Root = request.getfixturevalue("s3_root")
            return open_store(root.url, root.options)
