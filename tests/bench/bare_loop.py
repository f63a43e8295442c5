"""The least that running shell commands costs: threads that spawn and wait: `bare_loop.py COMMAND JOBS THREADS`.

A process of its own, so that its processor time is its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass


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
    """Run the shell command that many times, divided among the threads of a process."""
    arguments = [sys.executable, __file__, command, str(jobs), str(threads)]
    printed = subprocess.run(arguments, stdout=subprocess.PIPE, check=True).stdout
    return BareRun(**json.loads(printed))


def _measure(command: str, jobs: int, *, threads: int) -> BareRun:
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


if __name__ == "__main__":
    print(json.dumps(asdict(_measure(sys.argv[1], int(sys.argv[2]), threads=int(sys.argv[3])))))
