"""The least that running shell commands costs: threads that spawn and wait, and nothing else."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class BareRun:
    """What a bare loop took."""

    jobs: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return self.jobs / self.seconds


def run_bare(command: str, jobs: int, *, threads: int = 2) -> BareRun:
    """Run the shell command that many times, divided among threads."""
    loops = [threading.Thread(target=_repeat, args=(command, jobs // threads)) for _ in range(threads)]
    began, cpu_began = time.perf_counter(), sum(os.times()[:4])
    for each in loops:
        each.start()
    for each in loops:
        each.join()
    return BareRun(jobs // threads * threads, time.perf_counter() - began, sum(os.times()[:4]) - cpu_began)


def _repeat(command: str, times: int) -> None:
    for _ in range(times):
        subprocess.run(["bash", "-c", command], stdout=subprocess.DEVNULL, check=True)
