"""How fast a table of many rows becomes specs in a bucket folder, and in how much memory: `submission.py 1000000`.

A process of its own, so that the memory is the submission's alone. Prints one JSON object.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
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


def measure(rows: int, folder: Path) -> dict[str, float]:
    """Return seconds of each step, and the most memory that was used, in MiB."""
    write_table(folder / "table.csv", rows)
    submission = command_submission(_COMMAND, str(folder / "table.csv"))
    store, keys = open_store(folder / "bucket", makes_root=True), CampaignKeys(parse_campaign_id("bench"))

    def submit() -> None:
        submit_specs(store, keys, jobs=submission.jobs())

    figures = {
        "check": _seconds(lambda: check_submission(submission, Circumstances({}, Offer(1, 0, 0)))),
        "submit": _seconds(submit),
        "submit again": _seconds(submit),
    }
    return {**figures, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _seconds(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(measure(int(sys.argv[1]), Path(scratch))))
