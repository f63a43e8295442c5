"""A table of a million rows and a command become a million checked specs in the bucket."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.figures import Figure

_SCRIPT = Path(__file__).with_name("submission.py")


@pytest.mark.timeout(900)
def test_a_million_rows_are_submitted_fast_and_in_little_memory(
    sized: Callable[[int], int], show: Callable[..., None]
) -> None:
    rows = sized(1_000_000)
    printed = subprocess.run([sys.executable, str(_SCRIPT), str(rows)], stdout=subprocess.PIPE, check=True).stdout
    found: dict[str, float] = json.loads(printed)
    of = f"of {rows:,} rows, in a local folder"
    show(
        Figure("check every job of a table", rows / found["check"], "jobs/s", detail=of),
        Figure("submit a table", rows / found["submit"], "jobs/s", 20_000, detail=of),
        Figure("submit the same table again", rows / found["submit again"], "jobs/s", detail="nothing is new"),
        Figure("memory of checking and submitting", found["memory"], "MiB", 500, is_more_better=False, detail=of),
    )
