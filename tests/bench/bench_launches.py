"""How soon a hundred managed jobs have been asked for once the launcher has decided so: SkyPilot's real client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.figures import Figure
from tests.bench.sky_stand_in import sky_stand_in

_WORKERS = 100
_ANSWER_SECONDS = 5.0
"""As long as an idle server takes for a launch."""


@pytest.mark.timeout(900)
def test_a_hundred_managed_jobs_are_asked_for_within_a_minute(
    tmp_path: Path, sized: Callable[[int], int], show: Callable[..., None]
) -> None:
    workers = sized(_WORKERS)
    root = str(Path(__file__).parents[2])
    with sky_stand_in(answer_seconds=_ANSWER_SECONDS) as server:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": root,
            "SKYPILOT_API_SERVER_ENDPOINT": server.url,
            "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
        }
        command = [sys.executable, "-W", "ignore", "-m", "tests.bench.launches", str(workers)]
        done = subprocess.run(command, env=environ, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert not told["trouble"]
    assert (len(server.launches), server.repeated) == (workers, 0)
    show(
        Figure(
            f"decision to {workers} managed jobs requested",
            max(server.launches.values()) - told["decided_at"],
            "s",
            60.0,
            is_more_better=False,
            detail=f"{told['cpu_seconds'] / workers:.2f} s of a processor for each",
        )
    )
