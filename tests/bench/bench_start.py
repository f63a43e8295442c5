"""How soon a machine that has uv and nothing of ours becomes a worker that the launcher hears, by the start command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import uv

from gliderport_prefect.bundle import bundle_key, start_script
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.store import Store
from tests.bench.figures import Figure
from tests.bench.local_campaign import local_campaign
from tests.skypilot.rig.uv import read_index_settings
from tests.waiting import wait_until

_TRIALS = 3


@pytest.mark.timeout(300)
def test_a_machine_with_uv_is_heard_within_ten_seconds(
    tmp_path: Path, sized: Callable[[int], int], show: Callable[..., None]
) -> None:
    seconds: dict[str, list[float]] = {"empty": [], "warm": []}
    (tmp_path / "bucket").mkdir()
    with local_campaign(tmp_path / "bucket", workers=1, cpus=1) as campaign:
        for trial in range(sized(_TRIALS)):
            home = tmp_path / f"machine-{trial}"
            home.mkdir()
            for number, cache in enumerate(seconds):
                name = f"worker-{trial}{number}"
                seconds[cache].append(_start(campaign.store, campaign.runtime.keys, home=home, name=name))
    for cache, found in seconds.items():
        show(
            Figure(
                f"start command to the worker's hello, {cache} uv cache",
                max(found),
                "s",
                10.0,
                is_more_better=False,
                detail=f"longest of {len(found)}; shortest {min(found):.2f} s",
            )
        )


def _start(store: Store, keys: CampaignKeys, *, home: Path, name: str) -> float:
    """Run the start command, and return how many seconds later the worker's hello was in the bucket."""
    known = {stored.key for stored in store.list(keys.outbox)}
    began = time.monotonic()
    log = home / f"{name}.log"
    with log.open("wb") as said:
        worker = subprocess.Popen(
            ["bash", "-c", start_script(bundle_key(keys))],
            env=_environ(store, keys, home=home, name=name),
            cwd=home,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )

    def is_heard() -> bool:
        assert worker.poll() is None, log.read_text("utf-8")
        return any(stored.key not in known for stored in store.list(keys.outbox))

    try:
        wait_until(is_heard, f"{name} has said hello", timeout_seconds=120, poll_seconds=0.02)
        return time.monotonic() - began
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def _environ(store: Store, keys: CampaignKeys, *, home: Path, name: str) -> dict[str, str]:
    """Return the variables of a machine that SkyPilot has set up: uv and a Python are there."""
    folders = [Path(uv.find_uv_bin()).parent, Path(sys.executable).resolve().parent]
    return {
        **read_index_settings(),
        "UV_PYTHON_DOWNLOADS": "never",
        "PATH": os.pathsep.join([*map(str, folders), os.defpath]),
        "HOME": str(home),
        "GLIDERPORT_BUCKET": store.url,
        "GLIDERPORT_CAMPAIGN": keys.campaign,
        "GLIDERPORT_WORKER": name,
    }
