"""What this machine has to offer, measured where the site did not say it."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gliderport_prefect.protocol.resources import Offer

_NVIDIA_QUERY = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
_NVIDIA_SECONDS = 10
# cgroup v1 says "no limit" by a number close to 2**63.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class Given:
    """What the site or the person says instead of a measurement."""

    cpus: float | None = None
    """CPU cores."""
    memory_bytes: int | None = None
    """Memory."""
    disk_bytes: int | None = None
    """Scratch space."""
    gpus: int | None = None
    """GPUs."""
    gpu_type: str | None = None
    """Their name as the site calls it."""
    preemptible: bool = False
    """Whether the machine may be taken back at any time."""


def measure_offer(given: Given, scratch: Path) -> Offer:
    """Return what jobs can have here: what was given, else what the machine or its container has."""
    gpu_names = _list_gpus() if given.gpus is None else []
    gpus = len(gpu_names) if given.gpus is None else given.gpus
    return Offer(
        cpus=_count_cpus() if given.cpus is None else given.cpus,
        memory_bytes=_measure_memory() if given.memory_bytes is None else given.memory_bytes,
        disk_bytes=shutil.disk_usage(scratch).free if given.disk_bytes is None else given.disk_bytes,
        gpus=gpus,
        gpu_type=given.gpu_type or (gpu_names[0] if gpu_names else None),
        preemptible=given.preemptible,
    )


def _count_cpus() -> float:
    allowed = float(len(os.sched_getaffinity(0)))
    quota = _read_cpu_quota()
    return allowed if quota is None else min(allowed, math.floor(quota * 100) / 100)


def _read_cpu_quota() -> float | None:
    """Return the cores that the container may use; none when it is not limited."""
    words = _read("/sys/fs/cgroup/cpu.max").split()
    if not words:
        words = [_read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), _read("/sys/fs/cgroup/cpu/cpu.cfs_period_us")]
    try:
        quota, period = float(words[0]), float(words[1])
    except (ValueError, IndexError):
        return None
    return quota / period if quota > 0 < period else None


def _measure_memory() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = (
        _read("/sys/fs/cgroup/memory.max").strip(),
        _read("/sys/fs/cgroup/memory/memory.limit_in_bytes").strip(),
    )
    return min([total, *(int(limit) for limit in limits if limit.isdecimal() and int(limit) < _NO_LIMIT)])


def _list_gpus() -> list[str]:
    if shutil.which(_NVIDIA_QUERY[0]) is None:
        return []
    try:
        asked = subprocess.run(_NVIDIA_QUERY, capture_output=True, text=True, timeout=_NVIDIA_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in asked.stdout.splitlines() if line.strip()]


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except OSError:
        return ""
