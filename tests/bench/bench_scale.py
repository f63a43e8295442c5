"""Ten thousand, a hundred thousand, a million jobs: what the launcher takes, and how that grows."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.bench import launcher_scale
from tests.bench.figures import Figure

_SIZES = (10_000, 100_000, 1_000_000)
_STEPS = {"launcher_seconds": "launching", "replay_seconds": "replaying", "peak_megabytes": "memory"}
_MOST_EXPONENT = 1.1
"""Linear, and what caches and timers add on a shared machine."""


@pytest.mark.timeout(900)
def test_a_million_jobs_fit_and_nothing_grows_faster_than_their_number(
    tmp_path: Path, sized: Callable[[int], int], show: Callable[..., None]
) -> None:
    found = [_measure(sized(size), tmp_path / str(size)) for size in _SIZES]
    largest = found[-1]
    show(
        Figure(
            f"launcher with {largest.jobs:,} jobs, peak memory",
            largest.peak_megabytes,
            "MiB",
            1000,
            is_more_better=False,
            detail="the launcher alone, 100 workers of 4 cpus",
        ),
        Figure(
            "launcher's time per job",
            1000 * largest.launcher_seconds / largest.jobs,
            "ms",
            detail=f"{largest.launcher_seconds:.0f} s in all, {largest.requests_per_job:.4f} requests per job",
        ),
        Figure("submission of specs", largest.submitted_per_second, "jobs/s", 20_000, detail=f"{largest.jobs:,} jobs"),
        *_describe_growth(found),
    )


def _measure(jobs: int, folder: Path) -> launcher_scale.Figures:
    """Measure in a process of its own, so that the memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(launcher_scale.measure, (jobs, folder))


def _describe_growth(found: list[launcher_scale.Figures]) -> Iterator[Figure]:
    """Yield the exponents with which each step grows; 1 is in proportion to the number of jobs."""
    for field, step in _STEPS.items():
        exponents: list[float] = []
        for smaller, larger in pairwise(found):
            ratio = max(getattr(larger, field), 0.01) / max(getattr(smaller, field), 0.01)
            exponents.append(math.log(ratio) / math.log(larger.jobs / smaller.jobs))
        detail = "exponent from each size to the next: " + ", ".join(f"{each:.2f}" for each in exponents)
        yield Figure(f"growth of {step}", max(exponents), "", _MOST_EXPONENT, is_more_better=False, detail=detail)
