"""The file that machines get."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from gliderport_prefect.bundle import build_bundle, bundle_key, place_bundle, requirements
from gliderport_prefect.protocol.ids import CampaignId
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.store import CountingStore, open_store

KEYS = CampaignKeys(CampaignId("c"))


def test_the_bundle_is_the_same_whenever_and_wherever_it_is_made(tmp_path: Path) -> None:
    program = "from gliderport_prefect.bundle import build_bundle; print(build_bundle().sha256)"
    root = Path(__file__).parents[3]
    copy = tmp_path / "elsewhere"
    for package in ("gliderport_prefect", "vm_worker"):
        for file in (root / package).rglob("*.py"):
            target = copy / file.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())

    elsewhere = subprocess.run(
        [sys.executable, "-c", program],
        cwd=copy,
        env={**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "1", "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert elsewhere.stdout.strip() == build_bundle().sha256


def test_the_bundle_holds_the_worker_and_what_it_imports_and_no_more() -> None:
    bundle = build_bundle()

    names = zipfile.ZipFile(io.BytesIO(bundle.data)).namelist()

    assert hashlib.sha256(bundle.data).hexdigest() == bundle.sha256
    assert {"__main__.py", "vm_worker/worker.py", "gliderport_prefect/errors.py"} <= set(names)
    parts = {name.split("/")[1] for name in names if name.startswith("gliderport_prefect/")}
    assert parts == {"__init__.py", "errors.py", "protocol", "store"}
    assert all(name.endswith(".py") for name in names)


def test_the_bundle_runs_by_itself(tmp_path: Path) -> None:
    (tmp_path / "worker.pyz").write_bytes(build_bundle().data)

    helped = subprocess.run(
        [sys.executable, "worker.pyz", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert "--campaign" in helped.stdout
    assert "75 store lost" in helped.stdout


def test_the_bundle_is_uploaded_once() -> None:
    store = CountingStore(open_store("memory://"))

    first, second = place_bundle(store, KEYS), place_bundle(store, KEYS)

    assert first == second == bundle_key(KEYS)
    assert store.get(first) == build_bundle().data
    assert store.counts["create"] == 1


def test_the_worker_needs_the_obstore_that_runs_here() -> None:
    assert all(each.startswith("obstore==") for each in requirements())
