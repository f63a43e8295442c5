"""How fast a table of many rows becomes specs in a bucket folder, and in how much memory.

python tests/bench/submission.py 1000000
"""

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gliderport_prefect.lifecycle.checks import Circumstances, check_submission
from gliderport_prefect.lifecycle.specs import submit_specs
from gliderport_prefect.presets.command import command_submission
from gliderport_prefect.protocol.ids import parse_campaign_id
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.protocol.resources import Offer
from gliderport_prefect.store import open_store

_COMMAND = "convert {input} -resize {width} {output}"


def write_table(path: Path, rows: int) -> None:
    """Write a table with a path that needs quotes in every tenth row."""
    with path.open("w") as file:
        file.write("sample,input,width,output\n")
        for n in range(rows):
            gap = " " if n % 10 == 0 else "-"
            file.write(f"s{n},photos/2026{gap}11/{n}.jpg,{n % 640},small/{n}.jpg\n")


def measure(rows: int, folder: Path) -> Iterator[str]:
    """Yield lines with the figures."""
    table = folder / "table.csv"
    write_table(table, rows)
    submission = command_submission(_COMMAND, str(table))
    began = time.perf_counter()
    count = sum(1 for _ in submission.scan())
    seconds = time.perf_counter() - began
    yield f"row to spec      {count / seconds:10,.0f} jobs/s"
    began = time.perf_counter()
    check_submission(submission, Circumstances({}, Offer(1, 0, 0)))
    checking_seconds = time.perf_counter() - began
    yield f"row to check     {count / checking_seconds:10,.0f} jobs/s"
    store = open_store(folder / "bucket", makes_root=True)
    keys = CampaignKeys(parse_campaign_id("bench"))
    for what in ("first submission", "the same again"):
        began = time.perf_counter()
        submitted = submit_specs(store, keys, jobs=submission.jobs())
        seconds = time.perf_counter() - began
        yield f"{what:16} {rows / seconds:10,.0f} jobs/s ({submitted.added:,} added, {submitted.skipped:,} skipped)"
        yield f"  with checking  {rows / (seconds + checking_seconds):10,.0f} jobs/s"
    yield f"highest memory   {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:10,.0f} MiB"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for text in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, Path(scratch)):
            print(text, flush=True)
