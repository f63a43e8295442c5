"""What a worker of this machine is offered, and what it inherits."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from gliderport_prefect.sites.local import LocalOptions, LocalSite
from gliderport_prefect.store import open_store


def site(tmp_path: Path, options: LocalOptions) -> LocalSite:
    store = open_store("memory://")
    return LocalSite(folder=tmp_path / "not" / "yet", store=store, bundle_key="a/b/c", campaign="c", options=options)


def test_workers_share_the_machine_equally(tmp_path: Path) -> None:
    offer = site(tmp_path, LocalOptions(workers=2)).offer
    assert offer.cpus == max(1.0, (os.cpu_count() or 1) / 2)
    assert offer.memory_bytes == psutil.virtual_memory().total // 2
    assert offer.gpus == 0


def test_what_is_asked_for_is_offered(tmp_path: Path) -> None:
    offer = site(tmp_path, LocalOptions(cpus=0.5, memory_bytes=2**20, gpus=3)).offer
    assert (offer.cpus, offer.memory_bytes, offer.gpus) == (0.5, 2**20, 3)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_disk_of_a_folder_that_is_not_there_yet_is_that_of_its_parent(tmp_path: Path, workers: int) -> None:
    free = psutil.disk_usage(str(tmp_path)).free
    assert site(tmp_path, LocalOptions(workers=workers)).offer.disk_bytes == pytest.approx(free, rel=0.1)
